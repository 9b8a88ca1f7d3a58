"""The embedded pair: a tiny base model and its tuned versions, trained from scratch by this package."""
