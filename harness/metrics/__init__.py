"""Metrics, from a model and samples to a measurement."""
