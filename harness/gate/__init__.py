"""The gate: a measurement and its reference in, a verdict out. No torch, no pytest."""

from harness.gate.continual import stage_scores
from harness.gate.environment import drift
from harness.gate.family import judged_together
from harness.gate.judgement import explain, judge, missing
from harness.gate.margins import MARGINS, margin_for, stated_margin

__all__ = [
    "MARGINS",
    "drift",
    "explain",
    "judge",
    "judged_together",
    "margin_for",
    "missing",
    "stage_scores",
    "stated_margin",
]
