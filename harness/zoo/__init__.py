"""The zoo: real faults of fine-tuning, each injected into a small set-up, that prove what the checks find and spare."""
