"""Recipes, trainers and the batches that reach the loss."""
