"""Real scores of two models, dealt out anew: runs of two equal models, and of one that is worse by a known amount."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from harness.gate.pairing import Pairs, join, tabulate
from harness.records import Measurement, SampleScore
from harness.statistics import Floats, PairedCorpus, value_of

DRAWS_FOR_A_DROP = 400
"""Runs over which the expected drop of a corpus metric is averaged; it moves slowly with the coin."""


@dataclass(frozen=True)
class Deck:
    """Each sample's two scores, joined by id. Samples of a cluster are dealt together, as they stand or fall together.

    ``better`` (g,) tells of which side a cluster's scores are better: True for the first.
    """

    measurement: Measurement
    pairs: Pairs
    better: np.ndarray

    @classmethod
    def of(cls, first: Measurement, second: Measurement) -> Deck:
        """From two measurements that the gate would compare."""
        pairs = join(tabulate(first), tabulate(second))
        if pairs.aggregate is None:
            gains = pairs.differences
        else:
            paired = PairedCorpus.of(pairs.aggregate, pairs.before, pairs.after, pairs.codes, pairs.sign)
            gains = paired.shifts(pairs.before, pairs.after)
        return cls(second, pairs, np.bincount(pairs.codes, weights=gains) > 0)

    def deal(self, random: np.random.Generator, coin: float) -> tuple[Measurement, Measurement]:
        """Before and after: each cluster's better scores come before with the probability ``coin``.

        With a fair coin the two sides are exchangeable, which is what equal models are, whatever else is true.
        """
        rows_before, rows_after = self._rows(random, coin)
        return self.measured(rows_before), self.measured(rows_after)

    def drop(self, coin: float) -> float:
        """The expected drop under this coin; never below 0 for one of a half or more."""
        random = np.random.default_rng(7)
        sides = (self._rows(random, coin) for _ in range(DRAWS_FOR_A_DROP))
        drops = [self.pairs.sign * (self._value(before) - self._value(after)) for before, after in sides]
        return float(np.mean(drops))

    def coin_for(self, drop: float) -> float | None:
        """The coin under which the expected drop is ``drop``; None where these scores do not differ by so much."""
        low, high = 0.5, 1.0
        if self.drop(high) < drop:
            return None
        for _ in range(12):
            middle = (low + high) / 2
            low, high = (middle, high) if self.drop(middle) < drop else (low, middle)
        return high

    def _rows(self, random: np.random.Generator, coin: float) -> tuple[Floats, Floats]:
        better_first = random.random(len(self.better)) < coin
        first_stays = (better_first == self.better)[self.pairs.codes][:, None]
        first, second = self.pairs.before, self.pairs.after
        return np.where(first_stays, first, second), np.where(first_stays, second, first)

    def _value(self, rows: Floats) -> float:
        return value_of(rows, self.pairs.aggregate)

    def measured(self, rows: Floats) -> Measurement:
        """A measurement with these scores (n, k) in the place of its own."""
        known = self.measurement.scores
        scores = {
            each: SampleScore(tuple(row), known[each].digest, known[each].cluster)
            for each, row in zip(self.pairs.ids, rows.tolist(), strict=True)
        }
        return replace(self.measurement, value=self._value(rows), stderr=math.nan, n=len(scores), scores=scores)


def flips_of(deck: Deck, drop: float, runs: int) -> Iterator[tuple[Measurement, Measurement]]:
    """Right and wrong answers that flip as often as these two models' do, and a share ``drop`` is lost on top.

    For rates alone, where a drop may be larger than two given models differ: who flips is drawn, not who is asked.
    """
    pairs, random = deck.pairs, np.random.default_rng(11)
    moved = np.bincount(pairs.codes, weights=np.abs(pairs.differences)) > 0
    rate = min(float(moved.mean()), 1 - drop)
    worse, better = (0.0, 1.0) if pairs.sign > 0 else (1.0, 0.0)
    for _ in range(runs):
        draw = random.random(pairs.clusters)[pairs.codes]
        lost, won = draw < rate / 2 + drop, draw >= 1 - rate / 2
        before = np.where(lost, better, np.where(won, worse, pairs.before[:, 0]))
        after = np.where(lost, worse, np.where(won, better, before))
        yield deck.measured(before[:, None]), deck.measured(after[:, None])
