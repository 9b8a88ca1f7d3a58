"""The gate: one measurement against one reference gives one verdict."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from harness.errors import InvalidRunError, UsageError
from harness.gate.evidence import Evidence, above_chance, stderr, weigh
from harness.gate.pairing import Pairs, join, listed, tabulate, value_fault, why_not_comparable
from harness.records import Measurement, Outcome, Reference, Verdict
from harness.statistics import adjusted


def judge(measurement: Measurement, reference: Reference, *, margin: float, alpha: float, comparisons: int) -> Verdict:
    """Compares a measurement with its reference by a paired test.

    ``margin`` is the allowed drop in the metric's unit; ``alpha`` the one-sided false-alarm rate of the whole run,
    which makes ``comparisons`` tests. Raises UsageError for numbers that make no test.
    """
    _check_numbers(margin, alpha, comparisons)
    verdict = Verdict(
        measurement=measurement.name,
        metric=measurement.metric,
        outcome=Outcome.INVALID,
        reference=reference.label,
        higher_is_better=measurement.higher_is_better,
        n=len(measurement.scores),
        margin=margin,
        signature=measurement.signature,
        origin=reference.origin,
    )
    try:
        new = tabulate(measurement)
    except InvalidRunError as fault:
        return replace(verdict, reason=str(fault))
    if wrong := value_fault(new, measurement.aggregate):
        return replace(verdict, reason=wrong)
    verdict = replace(verdict, value=measurement.value, stderr=measurement.stderr)
    if reference.measurement is None:
        nothing = f"nothing is stored for it in {reference.label}" if reference.label else "nothing to compare it with"
        return replace(verdict, outcome=Outcome.NEW, reason=nothing)
    try:
        old = tabulate(reference.measurement)
    except InvalidRunError as fault:
        return replace(verdict, reason=f"in {reference.label}, {fault}")
    verdict = replace(verdict, reference_value=reference.measurement.value)
    if difference := why_not_comparable(old, new, reference.differences) or reference.drift:
        return replace(verdict, outcome=Outcome.NOT_COMPARABLE, reason=difference)

    pairs = join(old, new)
    evidence = weigh(pairs, alpha, comparisons, material(margin))
    if reference.same_model and not pairs.moved:
        # What few samples could have hidden in another model, this one does not have: it is the same.
        evidence = replace(evidence, bounds=(0.0, 0.0))
    p = adjusted(evidence.p_alone, comparisons)
    outcome, reason = _decide(pairs, evidence, p, measurement.chance, margin, alpha)
    before, after = pairs.values
    whole = len(pairs.ids) == len(measurement.scores)
    if not whole:
        reason += f", over the {len(pairs.ids)} of {len(measurement.scores)} samples that both have"
    return replace(
        verdict,
        outcome=outcome,
        reason=reason,
        value=after,
        stderr=measurement.stderr if whole else stderr(pairs.after, pairs),
        reference_value=before,
        drop=evidence.drop,
        low=evidence.bounds[0] if evidence.bounds else None,
        high=evidence.bounds[1] if evidence.bounds else None,
        p=p,
        p_alone=evidence.p_alone,
        n=len(pairs.ids),
        detectable=evidence.detectable,
        lost=evidence.lost,
        won=evidence.won,
    )


def missing(stored: Iterable[Measurement], measured: Collection[str], *, label: str, origin: str) -> list[Verdict]:
    """A verdict for each stored measurement that should have been made and was not.

    ``stored`` holds the measurements of the baseline ``label`` whose suites were selected; ``measured`` are the names
    that this run did measure.
    """
    return [
        Verdict(
            measurement=each.name,
            metric=each.metric,
            outcome=Outcome.MISSING,
            reference=label,
            higher_is_better=each.higher_is_better,
            reference_value=each.value,
            reason=f"stored in {label}, but not measured by this run",
            signature=each.signature,
            origin=origin,
        )
        for each in stored
        if each.name not in measured
    ]


def explain(verdict: Verdict, accept: str) -> str:
    """A failure in four parts: what happened, against what, which samples flipped, what to type to accept it."""
    stored = verdict.reference.startswith("baseline")
    against = f"{verdict.reference} {verdict.origin}".strip()
    lines = [("baseline", verdict.origin) if stored and verdict.origin else ("against", against)]
    if verdict.lost:
        lines.append(("flipped", listed(verdict.lost)))
    if accept:
        lines.append(("accept", accept))
    return "\n".join([_headline(verdict), *(f"  {word:<9} {text}" for word, text in lines)])


def _headline(verdict: Verdict) -> str:
    what = f"{' '.join(verdict.measurement.rsplit('/', 1))} {verdict.outcome.replace('-', ' ')}"
    if verdict.drop is None or verdict.reference_value is None or verdict.value is None:
        return f"{what}: {verdict.reason}"
    facts = [f"drop {verdict.drop:.3f}, margin {verdict.margin:.3f}"]
    if verdict.low is not None and verdict.high is not None:
        facts.append(f"one-sided bounds {verdict.low:.3f}..{verdict.high:.3f}")
    facts += [f"p {verdict.p:.2g}", f"n {verdict.n}"]
    return f"{what}: {verdict.reference_value:.3f} -> {verdict.value:.3f} ({'; '.join(facts)})"


def _check_numbers(margin: float, alpha: float, comparisons: int) -> None:
    if not 0 < alpha < 0.5:
        raise UsageError(f"alpha is {alpha}, but a significance level lies between 0 and 0.5: give --alpha 0.05")
    if not 0 <= margin < float("inf"):
        raise UsageError(f"the margin is {margin}, but an allowed drop is a number from 0 up: see --margin")
    if comparisons < 1:
        raise UsageError(f"{comparisons} comparisons are planned, but a verdict is one at least")


def material(margin: float) -> float:
    """The smallest drop that matters: half of the allowed one. What is less is no regression, however significant."""
    return margin / 2


def beyond_chance(drop: float, p: float, n: int, margin: float, alpha: float) -> tuple[Outcome, str] | None:
    """The outcome of a change that is more than chance and large enough to matter, with its clause; else None."""
    if p > alpha or abs(drop) < material(margin):
        return None
    shown = f"p {p:.2g} for {n} samples"
    if drop > 0:
        return (
            Outcome.REGRESSED,
            f"the drop of {drop:.3g} is more than chance ({shown}), and at least half of the allowed {margin:g}",
        )
    return Outcome.IMPROVED, f"better by {-drop:.3g}, more than chance ({shown})"


def _decide(
    pairs: Pairs, evidence: Evidence, p: float, chance: float | None, margin: float, alpha: float
) -> tuple[Outcome, str]:
    """The outcome in its order of precedence, and the clause that tells a reader why."""
    if moved := beyond_chance(evidence.drop, p, len(pairs.ids), margin, alpha):
        return moved
    before = pairs.values[0]
    if chance is not None and not above_chance(pairs, chance, alpha):
        return Outcome.NOT_INFORMATIVE, f"the reference {before:.3g} is not clearly above chance, {chance:.3g}"
    if chance is not None and pairs.sign * (before - chance) < material(margin):
        return (
            Outcome.NOT_INFORMATIVE,
            f"the reference {before:.3g} has no {material(margin):.3g} to lose above {chance:.3g}",
        )
    if evidence.bounds is None:
        return Outcome.INCONCLUSIVE, f"{len(pairs.ids)} samples in {pairs.clusters} groups are too few for a test"
    high = evidence.bounds[1]
    if high < margin:
        return Outcome.UNCHANGED, f"a drop, if any, is below {high:.3g}, and {margin:g} is allowed"
    return Outcome.INCONCLUSIVE, f"a drop of up to {high:.3g} cannot be ruled out, and {margin:g} is allowed"
