"""How many answers changed, and what one change costs: what the spread of few changes cannot say of the others."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from harness.gate.pairing import Pairs
from harness.statistics import Floats, detectable_pairs, tango_bounds


@dataclass(frozen=True)
class Moves:
    """Clusters that got worse and better, of how many, and what such a move adds to the drop.

    Where few answers change, their spread does not say how many might have: that is a rate, as flips are. Where none
    has, a move is taken to cost what a sample is worth: its part of the value above chance.
    """

    lost: int
    won: int
    clusters: int
    size: float

    @classmethod
    def of(cls, shifts: Floats, pairs: Pairs) -> Moves:
        """From what each sample (n,) adds to the drop."""
        sums = np.bincount(pairs.codes, weights=shifts)
        moved = sums[sums != 0]
        worth = 0.0 if pairs.chance is None else abs(pairs.values[0] - pairs.chance) / pairs.clusters
        size = float(np.abs(moved).mean()) if len(moved) else worth
        return cls(int((sums > 0).sum()), int((sums < 0).sum()), pairs.clusters, size)

    def within(self, value: float) -> Moves:
        """The same moves, which together cost no more than there is: far from a small change no slope holds."""
        return replace(self, size=min(self.size, value / self.clusters))


def not_narrower(bounds: tuple[float, float] | None, moves: Moves, alpha: float) -> tuple[float, float] | None:
    """Bounds that leave room for as many moves as so many clusters could have hidden."""
    if bounds is None or not moves.size:
        return bounds
    low, high = tango_bounds(moves.lost, moves.won, moves.clusters, alpha)
    whole = moves.size * moves.clusters
    return min(bounds[0], low * whole), max(bounds[1], high * whole)


def not_smaller(by_spread: float | None, moves: Moves, level: float, least: float) -> float | None:
    """The larger of two answers: by the spread of the differences, and by how many clusters would have to move."""
    if not moves.size:
        return by_spread
    whole = moves.size * moves.clusters
    by_moves = detectable_pairs(moves.clusters, moves.lost + moves.won, level, min(1.0, least / whole))
    return None if by_moves is None else max(by_spread or 0.0, by_moves * whole)
