"""The verdicts of a whole run, judged once more when all of them are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.gate.judgement import beyond_chance
from harness.records import Verdict
from harness.statistics import step_down


def judged_together(verdicts: Sequence[Verdict], *, alpha: float, comparisons: int) -> list[Verdict]:
    """The same verdicts in their order, with Holm's p in the place of Bonferroni's; some of them speak up only now.

    Drops are one family and gains another, as each is a claim of its own. No run fails by this alone: the smallest p of
    a family is adjusted as before, so it only adds to what has been found.
    """
    together = list(verdicts)
    for falling in (True, False):
        places = [at for at, verdict in enumerate(verdicts) if _moved(verdict, falling)]
        p_values = [verdict.p_alone for verdict in verdicts if verdict.p_alone is not None and _moved(verdict, falling)]
        for at, p in zip(places, step_down(p_values, comparisons), strict=True):
            together[at] = _with(verdicts[at], p, alpha)
    return together


def _moved(verdict: Verdict, falling: bool) -> bool:
    return verdict.p_alone is not None and verdict.drop is not None and (verdict.drop > 0) is falling


def _with(verdict: Verdict, p: float, alpha: float) -> Verdict:
    assert verdict.drop is not None
    assert verdict.margin is not None
    found = beyond_chance(verdict.drop, p, verdict.n, verdict.margin, alpha)
    if found is None:
        return replace(verdict, p=p)
    outcome, reason = found
    late = "" if outcome is verdict.outcome else ", now that the whole run is known"
    return replace(verdict, p=p, outcome=outcome, reason=reason + late)
