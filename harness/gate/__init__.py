"""The gate: a measurement and its reference in, a verdict out. No torch, no pytest."""

from harness.gate.continual import stage_scores
from harness.gate.judgement import explain, judge, missing
from harness.gate.margins import MARGINS, margin_for

__all__ = ["MARGINS", "explain", "judge", "margin_for", "missing", "stage_scores"]
