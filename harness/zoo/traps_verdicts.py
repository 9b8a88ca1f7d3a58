"""Differences between two runs that are no regression: the gate judges made-up scores, as many as a run would have."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from harness.gate import judge
from harness.records import Finding, Measurement, Outcome, Reference, SampleScore
from harness.zoo.exhibit import Setup, Trap

FAILING = frozenset({Outcome.REGRESSED, Outcome.NOT_COMPARABLE, Outcome.MISSING, Outcome.INVALID})
"""The verdicts that fail a run unless the user says otherwise."""

VERDICT = "gate/verdict"


def alarms(
    now: Measurement, before: Measurement, *, margin: float = 0.02, alpha: float = 0.05, comparisons: int = 1
) -> list[Finding]:
    """A finding where the gate would fail the run that measured ``now`` against ``before``."""
    verdict = judge(now, Reference("base model", before), margin=margin, alpha=alpha, comparisons=comparisons)
    if verdict.outcome not in FAILING:
        return []
    return [
        Finding(
            f"the gate fails the run: {verdict.outcome}",
            now.name,
            f"no alarm, from {before.value:.4f}",
            f"{now.value:.4f}, drop {verdict.drop}, p {verdict.p} {verdict.reason}",
            "see above",
        )
    ]


def measured(scores: Sequence[float], metric: str = "acc") -> Measurement:
    """A measurement of these scores, one for each sample."""
    return Measurement(
        name=f"questions/{metric}",
        metric=metric,
        value=sum(scores) / len(scores),
        stderr=0.01,
        n=len(scores),
        signature=f"metric:{metric}|version:1",
        higher_is_better=True,
        scores={f"q{number:04}": SampleScore((score,), "d") for number, score in enumerate(scores)},
    )


def _flips(n: int, right: int, lost: int, won: int) -> tuple[Measurement, Measurement]:
    """Before and after: of n questions some were right, of which some are lost and others won."""
    before = [1.0] * right + [0.0] * (n - right)
    after = [0.0] * lost + [1.0] * (right - lost) + [1.0] * won + [0.0] * (n - right - won)
    return measured(before), measured(after)


def _judged(n: int, right: int, lost: int, won: int, *, margin: float = 0.02, comparisons: int = 1) -> Setup:
    before, after = _flips(n, right, lost, won)
    return Setup(more={VERDICT: lambda: alarms(after, before, margin=margin, comparisons=comparisons)})


TRAPS = (
    Trap("ok-49", "Of fifty questions two more are wrong", partial(_judged, 50, right=30, lost=5, won=3)),
    Trap(
        "ok-50",
        "One of twenty comparisons has p = 0.03",
        partial(_judged, 400, right=240, lost=24, won=12, comparisons=20),
    ),
    Trap(
        "ok-51",
        "A tuning for one domain costs what was declared for the others",
        partial(_judged, 1000, right=600, lost=45, won=10, margin=0.1),
    ),
    Trap(
        "ok-52",
        "Full tuning forgets more than an adapter would, within the margin that was declared for it",
        partial(_judged, 1000, right=600, lost=110, won=15, margin=0.2),
    ),
)
