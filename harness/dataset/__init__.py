"""Training rows as text: what is in them twice, what the evaluation also asks, and what stands out."""
