"""Baselines: measurements kept in the repository, made to be read in a diff."""

from harness.baselines.store import Baseline, exists, load, merge, same_model, save

__all__ = ["Baseline", "exists", "load", "merge", "same_model", "save"]
