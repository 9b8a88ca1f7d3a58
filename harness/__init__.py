"""The pytest for fine-tuned language models. These are the names that suites and users' own cases are written with."""

from harness.metrics import (
    METRICS,
    acc,
    acc_norm,
    bits_per_byte,
    bleu,
    chrf,
    exact_match,
    greedy_answers,
    leaked_control_text,
    perplexity,
    repetition_loops,
    rouge1,
    rouge2,
    rougeL,
    rougeLsum,
    stop_rate,
)
from harness.records import Finding, Measurement, Sample, SampleSet

__all__ = [
    "METRICS",
    "Finding",
    "Measurement",
    "Sample",
    "SampleSet",
    "acc",
    "acc_norm",
    "bits_per_byte",
    "bleu",
    "chrf",
    "exact_match",
    "greedy_answers",
    "leaked_control_text",
    "perplexity",
    "repetition_loops",
    "rouge1",
    "rouge2",
    "rougeL",
    "rougeLsum",
    "stop_rate",
]
