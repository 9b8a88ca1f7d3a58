"""The pytest for fine-tuned language models. These are the names that suites and users' own cases are written with."""

from harness.inspection.preflight import PreflightReport, preflight
from harness.metrics import (
    METRICS,
    acc,
    acc_norm,
    bits_per_byte,
    bleu,
    chrf,
    exact_match,
    greedy_answers,
    hardly_stops,
    leaked_control_text,
    loop_rate,
    perplexity,
    rouge1,
    rouge2,
    rougeL,
    rougeLsum,
    same_answers,
    stop_rate,
)
from harness.records import Finding, Measurement, Sample, SampleSet
from harness.training.regression import RegressionCallback

__all__ = [
    "METRICS",
    "Finding",
    "Measurement",
    "PreflightReport",
    "RegressionCallback",
    "Sample",
    "SampleSet",
    "acc",
    "acc_norm",
    "bits_per_byte",
    "bleu",
    "chrf",
    "exact_match",
    "greedy_answers",
    "hardly_stops",
    "leaked_control_text",
    "loop_rate",
    "perplexity",
    "preflight",
    "rouge1",
    "rouge2",
    "rougeL",
    "rougeLsum",
    "same_answers",
    "stop_rate",
]
