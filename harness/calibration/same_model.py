"""One model measured twice: what moves although nothing has changed, and whether the gate minds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.gate import judge, judged_together
from harness.records import Measurement, Outcome, Reference


@dataclass(frozen=True)
class Again:
    """``flips`` of ``scores`` moved; ``alarms`` names the measurements that the gate calls regressed.

    ``not_comparable`` ones are those of which two subsets have too little in common, or no number for it.
    """

    measurements: int
    not_comparable: int
    scores: int
    flips: int
    largest_drop: float
    alarms: tuple[str, ...]


def compared_with(
    first: Mapping[str, Measurement],
    second: Mapping[str, Measurement],
    *,
    margins: Mapping[str, float],
    alpha: float,
) -> Again:
    """Judge a second run of a model against its first, as against a baseline; ``margins`` by measurement."""
    names = sorted(name for name in first if name in second)
    verdicts = [
        judge(
            second[name],
            Reference("before", first[name]),
            margin=margins[name],
            alpha=alpha,
            comparisons=len(names),
        )
        for name in names
    ]
    compared = [verdict for verdict in verdicts if verdict.drop is not None]
    return Again(
        measurements=len(compared),
        not_comparable=sum(verdict.outcome is Outcome.NOT_COMPARABLE for verdict in verdicts),
        scores=sum(verdict.n for verdict in compared),
        flips=sum(len(verdict.lost) + len(verdict.won) for verdict in compared),
        largest_drop=max((abs(verdict.drop) for verdict in compared if verdict.drop is not None), default=0.0),
        alarms=tuple(
            verdict.measurement
            for verdict in judged_together(verdicts, alpha=alpha, comparisons=len(names))
            if verdict.outcome in (Outcome.REGRESSED, Outcome.INVALID)
        ),
    )
