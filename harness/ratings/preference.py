"""The win rate by one criterion, as two measurements that the gate compares like any other, and what is told of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from harness.metrics.measuring import measure
from harness.ratings.agreement import cohens_kappa
from harness.ratings.filled import Filled
from harness.ratings.reading import Rated
from harness.ratings.rubric import RUBRIC_DIGEST, Choice
from harness.ratings.sheet import Item, Pair
from harness.records import Measurement, Sample, SampleSet
from harness.statistics import group_codes, mean_bounds, tango_bounds

TAIL = 0.025
"""On either side of the interval that is told: 95 % lie between."""

POINTS = {Choice.LEFT: 1.0, Choice.RIGHT: 0.0, Choice.TIE: 0.5}
"""What the answer on the left gets; the other one gets the rest."""


@dataclass(frozen=True)
class Preference:
    """By one criterion: how often the tuned model's answer is preferred, and how often the base model's.

    Ties count half for each, so the two values add up to 1 and their paired difference, sample by sample, is -1, 0 or
    1 for a single rater: the gate's test of it is the sign test. ``told`` is what the report says beside the verdict.
    """

    tuned: Measurement
    base: Measurement
    told: tuple[str, ...]


def preference(rated: Rated, criterion: str) -> Preference | None:
    """Win rates by ``criterion`` over the pairs that somebody has rated; None where nobody has rated any.

    A pair's score is the mean over its raters: what two people say of one pair is no independent evidence. Pairs with
    the same answer on both sides are ties without being asked.
    """
    scores = {item.pair: score for item in rated.sheet.items if (score := _score(rated, item, criterion)) is not None}
    if not scores:
        return None
    told = tuple(_told(rated, criterion, scores))
    scores |= dict.fromkeys(rated.sheet.same, 0.5)
    limited = rated.sheet.limited or len(scores) < len(rated.sheet.items) + len(rated.sheet.same)
    samples = SampleSet(f"ratings_{criterion}", tuple(map(_sample, scores)), limited=limited)
    problems = tuple(
        f"{each.rater}: {problem}"
        for each in rated.deciding
        if each.judge
        for problem in (*each.judge.problems, each.judge.orders[criterion].problem)
        if problem
    )
    tuned, base = (
        measure("win_rate", samples, points, signature=_signature(rated), problems=problems)
        for points in ([(score,) for score in scores.values()], [(1 - score,) for score in scores.values()])
    )
    return Preference(tuned, base, told)


def _score(rated: Rated, item: Item, criterion: str) -> float | None:
    """What the tuned model's answer gets, on the mean of the raters who said anything; None where nobody did."""
    said = [
        POINTS[rating.choices[criterion] if item.tuned_is_left else rating.choices[criterion].mirrored]
        for rater in rated.deciding
        if (rating := rater.ratings.get(item.id)) and criterion in rating.choices
    ]
    return sum(said) / len(said) if said else None


def _sample(pair: Pair) -> Sample:
    return Sample(pair.sample, pair.prompt, (), pair.digest, cluster=pair.cluster)


def _signature(rated: Rated) -> str:
    """Who decided: another number of people, or a judge with another name or prompt, gives no comparable number."""
    judges = [each.judge for each in rated.deciding if each.judge]
    who = (
        "judge:" + "+".join(f"{judge.name.replace('|', '/')}@{judge.prompt}" for judge in judges)
        if judges
        else f"people:{len(rated.deciding)}"
    )
    return f"{who}|rubric:{RUBRIC_DIGEST}|ties:half"


def _told(rated: Rated, criterion: str, scores: dict[Pair, float]) -> Iterator[str]:
    points = np.array(list(scores.values()))
    better, worse = int((points > 0.5).sum()), int((points < 0.5).sum())
    line = (
        f"{criterion}: the tuned model's answer is better in {better}, the base model's in {worse} of {len(points)} "
        f"rated pairs; win rate {points.mean():.3f}"
    )
    if interval := _interval(points, [pair.cluster for pair in scores]):
        line += f" (95 % interval {interval[0]:.3f} to {interval[1]:.3f})"
    yield line
    if rated.sheet.same:
        yield f"{len(rated.sheet.same)} pairs hold the same answer twice and count as ties without being asked"
    for rater in rated.raters:
        if left_open := rated.open_pairs(rater, criterion):
            yield f"{criterion}: {rater.rater} left {left_open} of {len(rated.sheet.items)} pairs open"
        if rater.judge:
            yield from _told_of_judge(rater, criterion)
    for one, other in combinations(rated.raters, 2):
        yield from _told_of_two(one, other, criterion)


def _interval(points: np.ndarray, clusters: list[str]) -> tuple[float, float] | None:
    """Of the win rate: Tango's, turned from a difference of rates into a rate, where every pair has one preference."""
    codes = group_codes(clusters)
    if set(np.unique(points)) <= {0.0, 0.5, 1.0} and int(codes.max()) + 1 == len(points):
        low, high = tango_bounds(int((points > 0.5).sum()), int((points < 0.5).sum()), len(points), TAIL)
        return (1 + low) / 2, (1 + high) / 2
    bounds = mean_bounds(points, codes, TAIL)
    return None if bounds is None else (max(0.0, bounds[0]), min(1.0, bounds[1]))


def _told_of_judge(rater: Filled, criterion: str) -> Iterator[str]:
    assert rater.judge is not None
    orders = rater.judge.orders[criterion]
    if orders.contradicted:
        yield (
            f"{criterion}: {rater.rater} contradicts itself on {orders.contradicted} of {orders.asked} pairs when the "
            f"answers change places, which count as ties (the first was preferred {orders.first} times, the second "
            f"{orders.second} times)"
        )
    for reason, count in sorted(rater.judge.unusable.items()):
        yield f"{rater.rater} has no rating for {count} pairs: {reason}"
    yield from (f"{rater.rater}: {line}" for line in rater.judge.told)
    yield f"{rater.rater} was asked with the prompt {rater.judge.prompt}; served: {', '.join(rater.judge.served)}"


def _told_of_two(one: Filled, other: Filled, criterion: str) -> Iterator[str]:
    both = [
        (first.choices[criterion], second.choices[criterion])
        for item, first in one.ratings.items()
        if criterion in first.choices
        and (second := other.ratings.get(item)) is not None
        and criterion in second.choices
    ]
    found = cohens_kappa([first for first, _ in both], [second for _, second in both])
    names = f"{criterion}: {one.rater} and {other.rater}"
    if found is None:
        yield f"{names} have rated no pair in common, so nothing is known of their agreement"
    elif found.kappa is None:
        yield f"{names} gave one and the same choice to all {found.n} pairs; kappa says nothing there"
    else:
        line = (
            f"{names} agree on {found.observed:.0%} of {found.n} pairs: Cohen's kappa {found.kappa:.2f} "
            f"(95 % interval {found.low:.2f} to {found.high:.2f})"
        )
        yield line + ("; that is no more than chance: talk the criterion over" if found.low <= 0 else "")
