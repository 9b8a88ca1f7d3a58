"""What a training loop does with its batches: gradients, updates, schedule, noise, interruption; on the user's own."""
