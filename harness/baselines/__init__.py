"""Baselines: measurements kept in the repository, made to be read in a diff."""

from harness.baselines.baseline import Baseline, merge, same_model
from harness.baselines.store import exists, load, save

__all__ = ["Baseline", "exists", "load", "merge", "same_model", "save"]
