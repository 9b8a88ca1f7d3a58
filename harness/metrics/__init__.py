"""Metrics: a model and a sample set in, a measurement out.

``harness.metrics.modules`` holds the same text metrics as ``evaluate.Metric`` classes; it is imported on its own,
since ``evaluate`` takes long to import.
"""

from __future__ import annotations

from collections.abc import Callable

from harness.metrics.answers import greedy_answers
from harness.metrics.calibration import brier, ece
from harness.metrics.choice import acc, acc_norm
from harness.metrics.diversity import distinct_1, distinct_2
from harness.metrics.measuring import LOWER_IS_BETTER
from harness.metrics.quality import (
    bleu,
    chrf,
    exact_match,
    length_error,
    rep_4,
    rouge1,
    rouge2,
    rougeL,
    rougeLsum,
    ter,
    token_f1,
)
from harness.metrics.refusal import over_refusal_rate, refusal_rate
from harness.metrics.sameness import same_answers, same_likelihoods
from harness.metrics.stopping import hardly_stops, leaked_control_text, loop_rate, stop_rate
from harness.metrics.text_loss import bits_per_byte, perplexity
from harness.records import Measurement

METRICS: dict[str, Callable[..., Measurement]] = {
    "acc": acc,
    "acc_norm": acc_norm,
    "bits_per_byte": bits_per_byte,
    "bleu": bleu,
    "brier": brier,
    "chrf": chrf,
    "distinct_1": distinct_1,
    "distinct_2": distinct_2,
    "ece": ece,
    "exact_match": exact_match,
    "length_error": length_error,
    "loop_rate": loop_rate,
    "over_refusal_rate": over_refusal_rate,
    "perplexity": perplexity,
    "refusal_rate": refusal_rate,
    "rep_4": rep_4,
    "rouge1": rouge1,
    "rouge2": rouge2,
    "rougeL": rougeL,
    "rougeLsum": rougeLsum,
    "stop_rate": stop_rate,
    "ter": ter,
    "token_f1": token_f1,
}
"""Every metric by the name that measurements, ``--margin`` and baselines use; each takes (model, samples)."""

__all__ = [
    "LOWER_IS_BETTER",
    "METRICS",
    "acc",
    "acc_norm",
    "bits_per_byte",
    "bleu",
    "brier",
    "chrf",
    "distinct_1",
    "distinct_2",
    "ece",
    "exact_match",
    "greedy_answers",
    "hardly_stops",
    "leaked_control_text",
    "length_error",
    "loop_rate",
    "over_refusal_rate",
    "perplexity",
    "refusal_rate",
    "rep_4",
    "rouge1",
    "rouge2",
    "rougeL",
    "rougeLsum",
    "same_answers",
    "same_likelihoods",
    "stop_rate",
    "ter",
    "token_f1",
]
