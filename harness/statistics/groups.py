"""Which samples hang together, and seeded draws over such groups."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from harness.records import Aggregate

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

SEED = 20260701
"""Any fixed number does: the same scores must always give the same verdict."""

MAX_GROUPS = 1_000
"""More groups than this are pooled at random (see ``pooled``): bounds time and memory at any number of samples."""

CHUNK = 1 << 20
"""Cells of a matrix of draws that are held at once, at most: 8 MB."""

ENOUGH_EXCEEDANCES = 500
"""Where a Monte-Carlo p stops early: by then it is known to about 4 % of itself."""

ROUNDING = 1e-9
"""Statistics that are equal on paper differ by rounding; relative to the numbers that they were made of."""


def value_of(rows: Floats, aggregate: Aggregate | None) -> float:
    """A metric's value from its per-sample rows (n, k): the aggregate's, else the mean of the first column."""
    return float(aggregate(rows)) if aggregate else float(rows[:, 0].mean())


def group_codes(clusters: Sequence[str]) -> Ints:
    """Group number (0..g-1) of each sample: one group per cluster label; a sample without a label is its own."""
    if not any(clusters):
        return np.arange(len(clusters), dtype=np.int64)
    first_seen: dict[str | int, int] = {}
    keys = (label or position for position, label in enumerate(clusters))
    return np.array([first_seen.setdefault(key, len(first_seen)) for key in keys], dtype=np.int64)


def pooled(codes: Ints) -> Ints:
    """Codes of at most ``MAX_GROUPS`` groups, larger numbers merged at random.

    Flipping or exchanging merged groups together is a subset of the flips that the null hypothesis allows, so a test
    on them is still exact; what it loses against single samples at a thousand groups cannot be noticed.
    """
    groups = int(codes.max()) + 1
    if groups <= MAX_GROUPS:
        return codes
    return np.random.default_rng(SEED).permutation(groups)[codes] % MAX_GROUPS


def group_sums(values: Floats, codes: Ints) -> Floats:
    """Sums (g, k) of the rows (n, k) of each group."""
    return np.column_stack([np.bincount(codes, weights=column) for column in values.T])


def coin_flips(draws: int, groups: int, held: int) -> Iterator[Ints]:
    """Matrices (some, g) of fair coins, ``draws`` rows in all; ``held`` is the number of cells one draw costs."""
    random = np.random.default_rng(SEED)
    for rows in _chunks(draws, held):
        yield random.integers(0, 2, size=(rows, groups))


def resamples(draws: int, groups: int, held: int) -> Iterator[Ints]:
    """Matrices (some, g) that count how often a bootstrap draw took each group."""
    random = np.random.default_rng(SEED)
    for rows in _chunks(draws, held):
        taken = random.integers(0, groups, size=(rows, groups)) + groups * np.arange(rows)[:, None]
        yield np.bincount(taken.ravel(), minlength=rows * groups).reshape(rows, groups)


def _chunks(draws: int, held: int) -> Iterator[int]:
    size = max(1, min(ENOUGH_EXCEEDANCES, CHUNK // held))
    for start in range(0, draws, size):
        yield min(size, draws - start)


def monte_carlo_p(exceedances: Iterator[npt.NDArray[np.bool_]]) -> float:
    """P-value from draws that tell whether they reached the observed statistic; stops where enough did.

    The sequential p of Besag and Clifford (Biometrika 78, 1991): h / l when the h-th exceedance came at draw l, else
    (exceedances + 1) / (draws + 1). Valid at every sample size; it spends its time where p is small.
    """
    reached, drawn = 0, 0
    for chunk in exceedances:
        hits = np.flatnonzero(chunk)
        if reached + len(hits) >= ENOUGH_EXCEEDANCES:
            last = drawn + int(hits[ENOUGH_EXCEEDANCES - reached - 1]) + 1
            return ENOUGH_EXCEEDANCES / last
        reached, drawn = reached + len(hits), drawn + len(chunk)
    return (reached + 1) / (drawn + 1)


def draws_for(alpha: float) -> int:
    """Monte-Carlo draws that resolve a p of ``alpha`` (already divided by the comparisons): its tenth part at least."""
    return max(10_000, math.ceil(10 / alpha))
