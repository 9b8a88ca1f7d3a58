"""Which function measures what a benchmark's record names."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from harness.benchmarks.record import Benchmark, Scoring
from harness.metrics.choice import acc, acc_norm
from harness.metrics.continuation import ending_bits_per_byte, ending_perplexity, foreseen
from harness.metrics.generated import (
    flexible_extract,
    inst_level_loose_acc,
    inst_level_strict_acc,
    prompt_level_loose_acc,
    prompt_level_strict_acc,
    strict_match,
)
from harness.metrics.mass import mass
from harness.records import Measurement

SCORED: dict[tuple[Scoring, str], Callable[..., Measurement]] = {
    ("choice", "acc"): acc,
    ("choice", "acc_norm"): acc_norm,
    ("mass", "acc"): mass,
    ("continuation", "acc"): foreseen,
    ("continuation", "perplexity"): ending_perplexity,
    ("continuation", "bits_per_byte"): ending_bits_per_byte,
    ("generation", "exact_match,strict-match"): strict_match,
    ("generation", "exact_match,flexible-extract"): flexible_extract,
    ("instructions", "prompt_level_strict_acc"): prompt_level_strict_acc,
    ("instructions", "prompt_level_loose_acc"): prompt_level_loose_acc,
    ("instructions", "inst_level_strict_acc"): inst_level_strict_acc,
    ("instructions", "inst_level_loose_acc"): inst_level_loose_acc,
}


def measure_of(benchmark: Benchmark, metric: str) -> Callable[..., Measurement]:
    """The function for one of a benchmark's metrics; it takes (model, samples, chat=...)."""
    function = SCORED[benchmark.scoring, metric]
    if benchmark.max_new_tokens:
        return partial(function, stop=benchmark.stop, max_new_tokens=benchmark.max_new_tokens)
    return function
