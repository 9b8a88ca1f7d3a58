"""Which function measures what a benchmark's record names."""

from __future__ import annotations

from collections.abc import Callable

from harness.benchmarks.record import Benchmark, Scoring
from harness.metrics.choice import acc, acc_norm
from harness.metrics.continuation import ending_perplexity, foreseen
from harness.metrics.mass import mass
from harness.records import Measurement

SCORED: dict[tuple[Scoring, str], Callable[..., Measurement]] = {
    ("choice", "acc"): acc,
    ("choice", "acc_norm"): acc_norm,
    ("mass", "acc"): mass,
    ("continuation", "acc"): foreseen,
    ("continuation", "perplexity"): ending_perplexity,
}


def measure_of(benchmark: Benchmark, metric: str) -> Callable[..., Measurement]:
    """The function for one of a benchmark's metrics; it takes (model, samples, chat=...)."""
    return SCORED[benchmark.scoring, metric]
