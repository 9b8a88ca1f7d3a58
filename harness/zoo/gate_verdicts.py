"""Faults of the gate itself: rules that many evaluation scripts have, in the place of this package's own."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from harness.calibration.gate import Gate
from harness.gate import judge
from harness.records import Measurement, Outcome, Reference, Verdict
from harness.zoo.exhibit import Fault, Setup, Trap

Rule = Callable[[Verdict, Measurement, Reference], Verdict]
"""From the verdict of this package's gate to that of another rule over the same numbers."""


class _Instead:
    """A judge whose verdict another rule has the last word on."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule

    def __call__(
        self, measurement: Measurement, reference: Reference, *, margin: float, alpha: float, comparisons: int
    ) -> Verdict:
        verdict = judge(measurement, reference, margin=margin, alpha=alpha, comparisons=comparisons)
        return self.rule(verdict, measurement, reference) if verdict.drop is not None else verdict


def _one_point(verdict: Verdict, _now: Measurement, _before: Reference) -> Verdict:
    """Fail where the number fell by more than a point."""
    assert verdict.drop is not None
    return replace(verdict, outcome=Outcome.REGRESSED if verdict.drop > 0.01 else Outcome.UNCHANGED)


def _two_samples(verdict: Verdict, now: Measurement, before: Reference) -> Verdict:
    """Compare two shares as if other samples had been asked."""
    from scipy.stats import norm

    assert before.measurement is not None
    assert verdict.drop is not None
    spread = math.hypot(now.stderr, before.measurement.stderr)
    worse = spread > 0 and verdict.drop / spread > float(norm.isf(0.05))
    return replace(verdict, outcome=Outcome.REGRESSED if worse else Outcome.INCONCLUSIVE)


def _normal_bounds(verdict: Verdict, _now: Measurement, _before: Reference) -> Verdict:
    """Wald's interval of a paired difference: no width where nothing flipped."""
    from scipy.stats import norm

    assert verdict.drop is not None
    flips = (len(verdict.lost) + len(verdict.won)) / verdict.n
    reach = float(norm.isf(0.05)) * math.sqrt(max(0.0, flips - verdict.drop**2) / verdict.n)
    return replace(verdict, low=verdict.drop - reach, high=verdict.drop + reach)


def _passes_unless_shown(verdict: Verdict, _now: Measurement, _before: Reference) -> Verdict:
    """What is not significant is called unchanged."""
    kept = (Outcome.REGRESSED, Outcome.IMPROVED)
    return verdict if verdict.outcome in kept else replace(verdict, outcome=Outcome.UNCHANGED)


def _each_for_itself(
    measurement: Measurement,
    reference: Reference,
    *,
    margin: float,
    alpha: float,
    comparisons: int,  # noqa: ARG001 - what it does not look at is the fault
) -> Verdict:
    """Every measurement tested at alpha, however many there are."""
    return judge(measurement, reference, margin=margin, alpha=alpha, comparisons=1)


def _whatever_came_back(
    measurement: Measurement, reference: Reference, *, margin: float, alpha: float, comparisons: int
) -> Verdict:
    """An answer that is not there counts as a wrong one."""
    scored = replace(measurement, problems=())
    return judge(scored, reference, margin=margin, alpha=alpha, comparisons=comparisons)


def _the_last_one(releases: Sequence[Measurement]) -> tuple[Measurement, ...]:
    return (releases[-1],)


def _anywhere(_before: Mapping[str, Any], _now: Mapping[str, Any]) -> str:
    return ""


def _gate(**parts: Any) -> Setup:
    return Setup(gate=Gate(**parts))


def _fault(identity: str, name: str, source: str, caught_by: str, **parts: Any) -> Fault:
    return Fault(identity, name, source, partial(_gate, **parts), (f"gate/{caught_by}",), twin=_gate)


FAULTS = (
    _fault(
        "gate-01",
        "A run fails where a score fell by more than a point",
        "Miller, arXiv 2411.00640: evaluations need error bars",
        "equal_models_raise_no_alarm",
        judge=_Instead(_one_point),
    ),
    _fault(
        "gate-02",
        "Twenty metrics are tested at 5 % each",
        "Riezler and Maxwell 2005: the pitfall of several pairwise tests",
        "many_comparisons_raise_no_alarm",
        judge=_each_for_itself,
    ),
    _fault(
        "gate-03",
        "Two scores are compared without their pairs",
        "Miller, arXiv 2411.00640: paired differences",
        "a_real_drop_is_caught",
        judge=_Instead(_two_samples),
    ),
    _fault(
        "gate-05",
        "Normal intervals for a set of thirty",
        "Bowyer, Aitchison and Ivanova, arXiv 2503.01747",
        "bounds_cover_the_true_drop",
        judge=_Instead(_normal_bounds),
    ),
    _fault(
        "gate-06",
        "What is not significant counts as unchanged",
        "Card et al. 2020: with little power comes great responsibility",
        "a_pass_is_evidence",
        judge=_Instead(_passes_unless_shown),
    ),
    _fault(
        "gate-07",
        "Each release is compared with the last one alone",
        "a ratchet: 0.4 points a release stay below what two releases can show",
        "slow_drift_is_caught",
        references=_the_last_one,
    ),
    _fault(
        "gate-09",
        "A baseline in bfloat16 judges a run in float32",
        "EleutherAI/lm-evaluation-harness#3055",
        "another_precision_is_not_compared",
        drift=_anywhere,
    ),
    _fault(
        "gate-13",
        "Empty answers of a broken run are scored as wrong ones",
        "any evaluator that scores what came back",
        "a_broken_run_is_no_score",
        judge=_whatever_came_back,
    ),
)


def _another_way(
    measurement: Measurement, reference: Reference, *, margin: float, alpha: float, comparisons: int
) -> Verdict:
    """A gate that is more careful than asked: half of alpha."""
    return judge(measurement, reference, margin=margin, alpha=alpha / 2, comparisons=comparisons)


TRAPS = (Trap("ok-60", "A gate at half of alpha misses a little more", partial(_gate, judge=_another_way)),)
