"""Training rows from a teacher: K answers to each prompt, the best of them by a metric, and where each row is from."""
