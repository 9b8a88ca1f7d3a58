"""Corpus metrics: one number from the statistics of all segments (BLEU, chrF, bits per byte), not a mean of scores."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from harness.records import Aggregate
from harness.statistics.groups import (
    ROUNDING,
    Floats,
    Ints,
    coin_flips,
    draws_for,
    group_sums,
    monte_carlo_p,
    pooled,
    resamples,
)

BOOTSTRAP_DRAWS = 2_000
"""A hundred draws lie beyond each bound at alpha 0.05; sacrebleu takes 1,000."""


@dataclass(frozen=True)
class Corpus:
    """Segments (m, k) in numbered groups, ready to be weighed again and again.

    ``additive``: the aggregate looks at column sums only (BLEU, chrF and bits per byte do), so each group can be summed
    beforehand. An aggregate that looks at rows (a mean of ratios, a median) gets them repeated by weight: slower.
    """

    aggregate: Aggregate
    rows: Floats
    codes: Ints
    additive: bool

    @classmethod
    def of(cls, aggregate: Aggregate, rows: Floats, codes: Ints) -> Corpus:
        """Sums the groups where the aggregate allows it: where adding rows two by two leaves its value as it is."""
        by_twos = group_sums(rows, np.arange(len(rows)) // 2)
        additive = math.isclose(float(aggregate(rows)), float(aggregate(by_twos)), rel_tol=1e-9, abs_tol=1e-12)
        if additive:
            rows = group_sums(rows, codes)
            codes = np.arange(len(rows))
        return cls(aggregate, rows, codes, additive)

    def values(self, weights: Ints) -> Floats:
        """The metric's value (draws,) with each group taken as often as ``weights`` (draws, g) says."""
        if self.additive:
            return np.array([float(self.aggregate(sums[None])) for sums in weights @ self.rows])
        repeats = weights[:, self.codes]
        return np.array([float(self.aggregate(np.repeat(self.rows, each, axis=0))) for each in repeats])


@dataclass(frozen=True)
class PairedCorpus:
    """Two sets of answers to the same segments; the difference is ``sign`` x (value of first - value of second)."""

    both: Corpus
    groups: int
    sign: int

    @classmethod
    def of(cls, aggregate: Aggregate, first: Floats, second: Floats, codes: Ints, sign: int = 1) -> PairedCorpus:
        """Pairs rows (n, k) with rows (n, k); ``codes`` (n,) groups them, ``sign`` is 1 or -1."""
        codes = pooled(codes)
        groups = int(codes.max()) + 1
        stacked = Corpus.of(aggregate, np.vstack([first, second]), np.concatenate([codes, codes + groups]))
        return cls(stacked, groups, sign)

    def differences(self, kept: Ints, exchanged: Ints) -> Floats:
        """Differences (draws,) where each group is taken so often as it is, and so often with its sides exchanged."""
        first, second = self._values(kept, exchanged)
        return self.sign * (first - second)

    def randomisation_p(self, alpha: float) -> float:
        """P of a difference at least as large, were the two answers to each group exchanged by a fair coin.

        Paired approximate randomisation (Riezler and Maxwell 2005), one-sided, with draws enough to resolve ``alpha``.
        """
        once = np.ones((1, self.groups), dtype=np.int64)
        first, second = self._values(once, 0 * once)
        # Draws that equal the observed difference on paper lie apart from it by rounding.
        observed = self.sign * (first[0] - second[0]) - ROUNDING * (abs(first[0]) + abs(second[0]))
        flips = coin_flips(draws_for(alpha), self.groups, held=self._cells)
        return monte_carlo_p(self.differences(1 - coins, coins) >= observed for coins in flips)

    def bootstrap(self) -> Floats:
        """Differences over resampled groups, all ``BOOTSTRAP_DRAWS`` of them."""
        draws = resamples(BOOTSTRAP_DRAWS, self.groups, held=self._cells)
        return np.concatenate([self.differences(taken, 0 * taken) for taken in draws])

    def shifts(self, first: Floats, second: Floats) -> Floats:
        """How far each sample (n,) moved the difference, to first order; zeros where the aggregate is not additive.

        The step of the slope is one count at least: BLEU smooths a count of zero, where a smaller step misleads.
        """
        if not self.both.additive:
            return np.zeros(len(first))
        total = second.sum(axis=0)
        steps = np.maximum(1.0, 1e-3 * np.abs(total))
        values = np.array([float(self.both.aggregate(row[None])) for row in (total, *(total + np.diag(steps)))])
        slopes = (values[1:] - values[0]) / steps
        moved: Floats = self.sign * ((first - second) @ slopes)
        return moved

    def exchanged(self) -> PairedCorpus:
        """The same pairs, first and second in each other's place."""
        return replace(self, sign=-self.sign)

    def _values(self, kept: Ints, exchanged: Ints) -> tuple[Floats, Floats]:
        first, second = [kept, exchanged], [exchanged, kept]
        return self.both.values(np.hstack(first)), self.both.values(np.hstack(second))

    @property
    def _cells(self) -> int:
        return 4 * max(self.groups, len(self.both.codes))


def corpus_stderr(aggregate: Aggregate, rows: Floats, codes: Ints) -> float:
    """Bootstrap standard error of a corpus metric over rows (n, k) in groups (n,); nan for fewer than two groups."""
    codes = pooled(codes)
    groups = int(codes.max()) + 1
    if groups < 2:
        return math.nan
    corpus = Corpus.of(aggregate, rows, codes)
    draws = resamples(BOOTSTRAP_DRAWS, groups, held=max(groups, len(corpus.codes)))
    return float(np.concatenate([corpus.values(taken) for taken in draws]).std(ddof=1))
