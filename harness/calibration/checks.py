"""What must hold of any gate, by name; each check simulates runs whose truth is known and returns what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from harness.calibration.gate import Gate
from harness.calibration.made_up import Pair, measured, pairs, releases
from harness.calibration.rates import Rate
from harness.records import Finding, Measurement, Outcome, Reference, Verdict
from harness.statistics import detectable_pairs

ALPHA, MARGIN = 0.05, 0.02

PLANNED_POWER = 0.75
"""What a drop of the printed detectable size must reach; it is printed for 80 %."""


def equal_models_raise_no_alarm(gate: Gate) -> list[Finding]:
    """Two models of the same ability, in sets of different size and restlessness."""
    found = []
    for n, discordant in ((50, 0.1), (200, 0.15), (600, 0.05)):
        alarms = [_compare(gate, pair).outcome is Outcome.REGRESSED for pair in pairs(150, n, discordant)]
        rate = Rate(sum(alarms), len(alarms))
        if rate.clearly_above(ALPHA):
            found.append(_finding("equal models raise an alarm", f"{n} samples, {discordant:.0%} of them flip", rate))
    return found


def many_comparisons_raise_no_alarm(gate: Gate) -> list[Finding]:
    """Runs of twenty measurements of which none has changed."""
    family, runs = 20, 60
    verdicts = [_compare(gate, pair, comparisons=family) for pair in pairs(family * runs, 100, 0.2)]
    alarms = [
        any(verdict.outcome is Outcome.REGRESSED for verdict in verdicts[start : start + family])
        for start in range(0, len(verdicts), family)
    ]
    rate = Rate(sum(alarms), runs)
    if not rate.clearly_above(ALPHA):
        return []
    return [_finding("a run of many measurements raises an alarm for nothing", f"{family} measurements a run", rate)]


def a_real_drop_is_caught(gate: Gate) -> list[Finding]:
    """A drop of the size that is printed as detectable for these samples."""
    n, discordant = 300, 0.1
    drop = detectable_pairs(n, round(n * discordant), ALPHA, MARGIN / 2)
    assert drop is not None
    caught = [_compare(gate, pair).outcome is Outcome.REGRESSED for pair in pairs(150, n, discordant, drop)]
    rate = Rate(sum(caught), len(caught))
    if not rate.clearly_below(PLANNED_POWER):
        return []
    where = f"{n} samples, {discordant:.0%} of them flip, true drop {drop:.3f}"
    return [_finding("a real drop is missed", where, rate, expected=f"caught in {PLANNED_POWER:.0%} of runs at least")]


def a_pass_is_evidence(gate: Gate) -> list[Finding]:
    """A small set and a drop of more than the margin: nothing may say that all is as it was."""
    passed = [_compare(gate, pair).outcome is Outcome.UNCHANGED for pair in pairs(150, 100, 0.15, 0.05)]
    rate = Rate(sum(passed), len(passed))
    if not rate.clearly_above(ALPHA):
        return []
    where = f"100 samples, true drop 0.05, margin {MARGIN}"
    return [_finding("a drop beyond the margin passes as unchanged", where, rate)]


def bounds_cover_the_true_drop(gate: Gate) -> list[Finding]:
    """Upper bounds of the drop in a set of thirty, where most draws show no flip at all or a single one."""
    drop = 0.06
    verdicts = [_compare(gate, pair) for pair in pairs(300, 30, 0.0, drop)]
    beyond = [verdict.high is not None and verdict.high < drop for verdict in verdicts]
    rate = Rate(sum(beyond), len(beyond))
    if not rate.clearly_above(1.5 * ALPHA):  # the score interval's own error changes sign with the rate, by that much
        return []
    return [_finding("the printed bound is below the true drop", f"30 samples, true drop {drop}", rate)]


def slow_drift_is_caught(gate: Gate) -> list[Finding]:
    """Twelve releases, each a little worse than the last, by less than any comparison of two could show."""
    random = np.random.default_rng(12)
    chains = [releases(random, count=12, n=1_000, step=0.004, discordant=0.01) for _ in range(20)]
    rate = Rate(sum(_is_noticed(gate, chain) for chain in chains), len(chains))
    if not rate.clearly_below(PLANNED_POWER):
        return []
    where = "12 releases, each 0.004 below the one before, 1,000 samples"
    return [_finding("slow drift is never noticed", where, rate, expected="noticed by the last release at the latest")]


def a_broken_run_is_no_score(gate: Gate) -> list[Finding]:
    """Answers that are missing or empty count as wrong in the scores, and as a broken run in the problems."""
    right = np.ones(100)
    broken = measured(np.where(np.arange(100) < 20, 0.0, right), problems=("20 of 100 answers are empty",))
    outcome = _compare(gate, (measured(right), broken)).outcome
    if outcome is Outcome.INVALID:
        return []
    return [
        Finding(
            "a broken run is judged as if it were a weak model",
            "100 samples, 20 answers are empty",
            f"the verdict {Outcome.INVALID}",
            f"the verdict {outcome}",
            "look at the measurement's problems before any statistics",
        )
    ]


def another_precision_is_not_compared(gate: Gate) -> list[Finding]:
    """A baseline in bfloat16, a run in float32; and the same on one machine, which may be compared."""
    here = {"dtype": "float32", "device": "cpu", "versions": {"torch": "2.8"}}
    told = gate.drift(here | {"dtype": "bfloat16"}, here)
    same = gate.drift(here, here | {"versions": {"torch": "2.9"}})
    right = measured(np.ones(40))
    verdict = gate.judge(right, Reference("baseline", right, drift=told), margin=MARGIN, alpha=ALPHA, comparisons=1)
    if told and not same and verdict.outcome is Outcome.NOT_COMPARABLE:
        return []
    return [
        Finding(
            "numbers of another precision are compared",
            "a baseline in bfloat16, a run in float32",
            f"the verdict {Outcome.NOT_COMPARABLE}",
            f"the verdict {verdict.outcome}",
            "keep dtype and device beside the numbers, and refuse to compare others",
        )
    ]


GATE: dict[str, Callable[[Gate], list[Finding]]] = {
    f"gate/{check.__name__}": cache(check)
    for check in (
        equal_models_raise_no_alarm,
        many_comparisons_raise_no_alarm,
        a_real_drop_is_caught,
        a_pass_is_evidence,
        bounds_cover_the_true_drop,
        slow_drift_is_caught,
        a_broken_run_is_no_score,
        another_precision_is_not_compared,
    )
}
"""Every check by name. The simulations are seeded, so one gate is looked at once a process."""


def _compare(gate: Gate, pair: Pair, comparisons: int = 1) -> Verdict:
    before, after = pair
    return gate.judge(after, Reference("before", before), margin=MARGIN, alpha=ALPHA, comparisons=comparisons)


def _is_noticed(gate: Gate, chain: list[Measurement]) -> bool:
    """Whether any release of a chain is called a regression against any of its references."""
    for number in range(1, len(chain)):
        references = gate.references(chain[:number])
        against = [_compare(gate, (reference, chain[number]), len(references)) for reference in references]
        if any(verdict.outcome is Outcome.REGRESSED for verdict in against):
            return True
    return False


def _finding(what: str, where: str, rate: Rate, expected: str = f"in {ALPHA:.0%} of runs at most") -> Finding:
    return Finding(what, where, expected, f"in {rate}", "see docs/calibration.md for how this package's gate does it")
