"""Tasks of lm-eval: found and read without it, run by it, and earlier runs of it read from their files."""
