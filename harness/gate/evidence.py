"""What paired samples say about a drop, before anyone decides: each kind of score has its test."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from harness.gate.moves import Moves, not_narrower, not_smaller
from harness.gate.pairing import Pairs
from harness.records import Aggregate
from harness.statistics import (
    Floats,
    PairedCorpus,
    above_chance_p,
    corpus_stderr,
    detectable_difference,
    detectable_pairs,
    mcnemar_p,
    mean_bounds,
    mean_stderr,
    sign_flip_p,
    tango_bounds,
)


@dataclass(frozen=True)
class Evidence:
    """``drop`` is positive where the model got worse; ``detectable`` would have shown with a power of 80 %.

    ``p_alone`` is one-sided, in the direction in which the value moved, as if this were the only comparison.
    ``bounds`` are the one-sided bounds of the drop at 1 - alpha, None where there are too few samples for any.
    """

    drop: float
    p_alone: float
    bounds: tuple[float, float] | None
    detectable: float | None
    lost: tuple[str, ...]
    won: tuple[str, ...]


def weigh(pairs: Pairs, alpha: float, comparisons: int, least: float) -> Evidence:
    """McNemar for right or wrong, sign flips for a mean, randomisation for a corpus metric.

    ``least`` is the drop below which none would be called a regression.
    """
    level = alpha / comparisons
    if pairs.aggregate is not None:
        return _corpus(pairs, pairs.aggregate, alpha, level, least)
    # McNemar takes every flip as independent evidence, which the translations of one question are not.
    if pairs.binary and pairs.clusters == len(pairs.ids):
        return _flips(pairs, alpha, level, least)
    return _mean(pairs, alpha, level, least)


def above_chance(pairs: Pairs, chance: float, alpha: float) -> bool:
    """Whether the reference is better than guessing by more than luck: only what is there can be lost."""
    before = pairs.values[0]
    if pairs.binary and pairs.clusters == len(pairs.ids) and pairs.sign > 0:
        return above_chance_p(round(before * len(pairs.ids)), len(pairs.ids), chance) <= alpha
    from scipy.stats import norm

    return pairs.sign * (before - chance) > float(norm.isf(alpha)) * stderr(pairs.before, pairs)


def stderr(rows: Floats, pairs: Pairs) -> float:
    """Standard error of the metric over one side of the pairs; nan for fewer than two clusters."""
    if pairs.aggregate is None:
        return mean_stderr(rows[:, 0], pairs.codes)
    return corpus_stderr(pairs.aggregate, rows, pairs.codes)


def _flips(pairs: Pairs, alpha: float, level: float, least: float) -> Evidence:
    n = len(pairs.ids)
    lost, won = _worse_and_better(pairs, pairs.differences)
    fewer, more = sorted((len(lost), len(won)))
    return Evidence(
        drop=(len(lost) - len(won)) / n,
        p_alone=mcnemar_p(more, fewer),
        bounds=tango_bounds(len(lost), len(won), n, alpha),
        detectable=detectable_pairs(n, fewer + more, level, least),
        lost=lost,
        won=won,
    )


def _mean(pairs: Pairs, alpha: float, level: float, least: float) -> Evidence:
    differences = pairs.differences
    lost, won = _worse_and_better(pairs, differences)
    drop = float(differences.mean())
    towards = differences if drop > 0 else -differences
    moves = Moves.of(differences / len(differences), pairs)
    if pairs.binary and not lost and not won:
        # A t interval of rates that agree everywhere has no width; Tango's tells how few clusters agreed.
        bounds: tuple[float, float] | None = tango_bounds(0, 0, pairs.clusters, alpha)
    else:
        bounds = not_narrower(mean_bounds(differences, pairs.codes, alpha), moves, alpha)
    return Evidence(
        drop=drop,
        p_alone=sign_flip_p(towards, pairs.codes, level),
        bounds=bounds,
        detectable=not_smaller(_detectable_mean(pairs, level, least), moves, level, least),
        lost=lost,
        won=won,
    )


def _detectable_mean(pairs: Pairs, level: float, least: float) -> float | None:
    """By the spread of the differences; for rates not less than what as many clusters, each right or wrong, could show.

    Where few rates moved, their spread is small, but a drop would bring a spread of its own.
    """
    differences, codes = pairs.differences, pairs.codes
    by_spread = detectable_difference(mean_stderr(differences, codes), pairs.clusters, level, least)
    if not pairs.binary:
        return by_spread
    moved = int(np.count_nonzero(np.bincount(codes, weights=np.abs(differences))))
    by_flips = detectable_pairs(pairs.clusters, moved, level, least)
    return by_flips if by_spread is None or by_flips is None else max(by_flips, by_spread)


def _corpus(pairs: Pairs, aggregate: Aggregate, alpha: float, level: float, least: float) -> Evidence:
    before, after = pairs.values
    drop = pairs.sign * (before - after)
    paired = PairedCorpus.of(aggregate, pairs.before, pairs.after, pairs.codes, pairs.sign)
    towards = paired if drop > 0 else paired.exchanged()
    resampled = paired.bootstrap()
    shifts = paired.shifts(pairs.before, pairs.after)
    lost, won = _worse_and_better(pairs, shifts)
    moves = Moves.of(shifts, pairs).within(max(abs(before), abs(after)))
    bounds = None if pairs.clusters < 2 else _wide(drop, resampled, pairs.clusters, alpha)
    by_spread = detectable_difference(float(resampled.std(ddof=1)), pairs.clusters, level, least)
    return Evidence(
        drop=drop,
        p_alone=towards.randomisation_p(level) if drop else 1.0,
        bounds=not_narrower(bounds, moves, alpha),
        detectable=not_smaller(by_spread, moves, level, least),
        lost=lost,
        won=won,
    )


def _wide(drop: float, resampled: Floats, groups: int, alpha: float) -> tuple[float, float]:
    """Quantiles of the bootstrap, as far from the drop as a t interval's bounds are beyond a normal one's.

    The plain quantiles of few groups lie too near: of three, the bound is below the true drop in a fifth of all runs.
    """
    from scipy.stats import norm, t

    reach = float(t.isf(alpha, groups - 1) / norm.isf(alpha)) * math.sqrt(groups / (groups - 1))
    low, high = np.quantile(resampled, [alpha, 1 - alpha])
    return drop + reach * (float(low) - drop), drop + reach * (float(high) - drop)


def _worse_and_better(pairs: Pairs, drops: Floats) -> tuple[tuple[str, ...], tuple[str, ...]]:
    lost, won = (tuple(pairs.ids[row] for row in np.flatnonzero(moved)) for moved in (drops > 0, drops < 0))
    return lost, won
