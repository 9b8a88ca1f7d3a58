"""How a transformers model is asked: what is read together, what is read once, and how answers come and go."""
