"""The pytest for fine-tuned language models. These are the names that suites and users' own cases are written with."""

from harness.chat.round_trip import terminator_stops_generation
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
    perplexity,
    repetition_loops,
    rouge1,
    rouge2,
    rougeL,
    rougeLsum,
    same_answers,
    stop_rate,
)
from harness.models.generation_config import nothing_holds_the_terminator_back
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
    "hardly_stops",
    "leaked_control_text",
    "nothing_holds_the_terminator_back",
    "perplexity",
    "repetition_loops",
    "rouge1",
    "rouge2",
    "rougeL",
    "rougeLsum",
    "same_answers",
    "stop_rate",
    "terminator_stops_generation",
]
