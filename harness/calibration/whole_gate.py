"""The whole gate on dealt-out scores: how often a run of equal models fails, how often a drop of known size is seen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.calibration.exchange import Deck, flips_of
from harness.calibration.rates import Rate
from harness.gate import judge, judged_together
from harness.records import Measurement, Outcome, Reference, Verdict

FAIR = 0.5


@dataclass(frozen=True)
class Gated:
    """One comparison of the gate as it was made: its suite, its scores on both sides, and the margin."""

    suite: str
    measurement: Measurement
    reference: Measurement
    margin: float


@dataclass(frozen=True)
class Calibrated:
    """What the simulations say of one comparison.

    ``alarms`` counts runs of equal models in which it regressed; ``detectable`` is what the gate prints, ``power`` how
    often a drop of just that size is called a regression (None where none is printed, or the scores hold no such drop).
    """

    gated: Gated
    alarms: Rate
    detectable: float | None
    power: Rate | None


@dataclass(frozen=True)
class Calibration:
    """All comparisons, the runs by suite, and ``family``: runs in which any of them regressed."""

    comparisons: tuple[Calibrated, ...]
    suites: Mapping[str, Rate]
    family: Rate
    alpha: float


def calibrate(gated: Sequence[Gated], *, alpha: float, runs: int, tried: int, track: Iterable[int]) -> Calibration:
    """``runs`` simulated runs of the whole gate over equal models, and ``tried`` drops of each comparison.

    ``track`` yields the numbers of the runs, and may show progress while it does.
    """
    decks = [Deck.of(each.reference, each.measurement) for each in gated]
    verdicts = [_one_run(number, decks, gated, alpha) for number in track]
    regressed = np.array([[verdict.outcome is Outcome.REGRESSED for verdict in run] for run in verdicts])
    comparisons = []
    for place, (deck, each) in enumerate(zip(decks, gated, strict=True)):
        printed = [run[place].detectable for run in verdicts[:tried]]
        drop = None if None in printed else float(np.median([each for each in printed if each is not None]))
        power = None if drop is None else _power(deck, each, drop, alpha, len(gated), tried)
        comparisons.append(Calibrated(each, Rate(int(regressed[:, place].sum()), runs), drop, power))
    suites = {
        suite: Rate(int(regressed[:, [each.suite == suite for each in gated]].any(axis=1).sum()), runs)
        for suite in sorted({each.suite for each in gated})
    }
    return Calibration(tuple(comparisons), suites, Rate(int(regressed.any(axis=1).sum()), runs), alpha)


def _one_run(number: int, decks: Sequence[Deck], gated: Sequence[Gated], alpha: float) -> list[Verdict]:
    """All comparisons of one run of equal models, judged as a run is: one by one, and together at the end."""
    random = np.random.default_rng([23, number])
    verdicts = [
        _judged(deck.deal(random, FAIR), each.margin, alpha, len(gated))
        for deck, each in zip(decks, gated, strict=True)
    ]
    return judged_together(verdicts, alpha=alpha, comparisons=len(gated))


def _power(deck: Deck, gated: Gated, drop: float, alpha: float, comparisons: int, runs: int) -> Rate | None:
    """How often the gate calls a true drop of this size a regression."""
    dealt = _dropped(deck, drop, runs)
    if dealt is None:
        return None
    caught = [_judged(pair, gated.margin, alpha, comparisons).outcome is Outcome.REGRESSED for pair in dealt]
    return Rate(sum(caught), runs)


def _dropped(deck: Deck, drop: float, runs: int) -> Iterator[tuple[Measurement, Measurement]] | None:
    if deck.pairs.binary:
        return flips_of(deck, drop, runs)
    coin = deck.coin_for(drop)
    if coin is None:
        return None
    random = np.random.default_rng(13)
    return (deck.deal(random, coin) for _ in range(runs))


def _judged(pair: tuple[Measurement, Measurement], margin: float, alpha: float, comparisons: int) -> Verdict:
    before, after = pair
    return judge(after, Reference("before", before), margin=margin, alpha=alpha, comparisons=comparisons)
