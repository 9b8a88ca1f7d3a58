"""What every readable format says in the same words: the facts, the suites, the rows, and whether the gate passes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.records import Outcome, Peak, Report, Verdict
from harness.report import numbers
from harness.report.text import crop, one_line, visible

SUITE_ORDER = ("template", "mask", "stopping", "quality", "forgetting")

FACTS = (
    "model",
    "base_model",
    "tokenizer",
    "recipe",
    "baselines",
    "device",
    "dtype",
    "noise_floor",
    "seed",
    "limit",
    "alpha",
)
"""Keys of a report's ``config`` or ``environment`` that head every format, in this order."""

_NEEDS_A_REASON = frozenset(
    {
        Outcome.REGRESSED,
        Outcome.INVALID,
        Outcome.MISSING,
        Outcome.NOT_COMPARABLE,
        Outcome.NOT_INFORMATIVE,
        Outcome.INCONCLUSIVE,
    }
)

WORST_FIRST = (
    Outcome.INVALID,
    Outcome.REGRESSED,
    Outcome.NOT_COMPARABLE,
    Outcome.MISSING,
    Outcome.INCONCLUSIVE,
    Outcome.NOT_INFORMATIVE,
    Outcome.NEW,
    Outcome.UNCHANGED,
    Outcome.IMPROVED,
)

_HEADINGS = {"reference": "compared with", "reference_value": "reference"}
_IDS_SHOWN = 3
_BROKEN_SHOWN = 20
_MESSAGE_CHARACTERS, _MESSAGE_LINES = 1_200, 12  # pytest prints the whole message of a failed case itself


@dataclass(frozen=True)
class Cells:
    """A verdict as the texts of a table row, in the order of its columns."""

    measurement: str
    reference: str
    reference_value: str
    value: str
    drop: str
    interval: str
    flips: str
    p: str
    n: str
    detectable: str
    margin: str
    verdict: str


def cells(verdict: Verdict) -> Cells:
    """Return the texts of a verdict's row; a value with nothing to compare it with carries its standard error."""
    metric = verdict.metric
    reference_value = numbers.value(verdict.reference_value, metric)
    if verdict.reference_value is None and verdict.value is not None:
        reference_value = numbers.plus_minus(verdict.stderr, metric) or numbers.NONE
    return Cells(
        measurement=one_line(verdict.measurement),
        reference=one_line(verdict.reference) or numbers.NONE,
        reference_value=reference_value,
        value=numbers.value(verdict.value, metric),
        drop=numbers.drop(verdict.drop, metric),
        interval=numbers.interval(verdict.low, verdict.high, metric),
        flips=numbers.NONE if verdict.drop is None else f"-{len(verdict.lost)} +{len(verdict.won)}",
        p=numbers.p_value(verdict.p),
        n=numbers.count(verdict.n),
        detectable=numbers.value(verdict.detectable, metric),
        margin=numbers.value(verdict.margin, metric),
        verdict=verdict.outcome.value,
    )


def heading(field: str) -> str:
    """Return the heading of a column that shows a field of ``Cells``."""
    return _HEADINGS.get(field, field)


def facts(report: Report) -> dict[str, str]:
    """Return what was asked for and where it ran, as far as the report knows it."""
    known = {**report.environment, **report.config}
    said = {key.replace("_", " "): _fact(known[key]) for key in FACTS if known.get(key) not in (None, "", (), [])}
    return said | ({"peak memory": ", ".join(map(_peak, report.peaks))} if report.peaks else {})


def _peak(peak: Peak) -> str:
    gpu = "" if peak.gpu is None else f" and {numbers.memory(peak.gpu)} on the GPU"
    return one_line(f"{peak.process} {numbers.memory(peak.resident)}{gpu}".strip())


def _fact(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(one_line(f"{key}: {item}") for key, item in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(one_line(str(item)) for item in value)
    return one_line(str(value))


def suites(report: Report) -> dict[str, tuple[Verdict, ...]]:
    """Return the verdicts by suite: those of the package in its order, then others as they came."""
    names = dict.fromkeys(verdict.suite for verdict in report.verdicts)
    ordered = [name for name in SUITE_ORDER if name in names] + [name for name in names if name not in SUITE_ORDER]
    return {one_line(name) or "other": tuple(v for v in report.verdicts if v.suite == name) for name in ordered}


def counts(verdicts: Iterable[Verdict]) -> dict[Outcome, int]:
    """Return how many verdicts there are of each kind that occurs, the worst first."""
    found = Counter(verdict.outcome for verdict in verdicts)
    return {outcome: found[outcome] for outcome in WORST_FIRST if outcome in found}


def fatal(report: Report) -> list[str]:
    """Return the outcomes that fail the run. An invalid one always does: it is an error, not a low score."""
    return [o.value for o in WORST_FIRST if o is Outcome.INVALID or o.value in report.fail_on]


def fails(report: Report, verdict: Verdict) -> bool:
    """Whether a verdict fails the run."""
    return verdict.outcome.value in fatal(report)


def passes(report: Report) -> bool:
    """Whether nothing here fails the run: neither a verdict nor an invariant."""
    return not report.broken and not any(fails(report, verdict) for verdict in report.verdicts)


def headline(report: Report) -> str:
    """Return the whole report in three words."""
    return "the gate passes" if passes(report) else "the gate fails"


def rule(report: Report) -> str:
    """Return the sentence that says what fails this run."""
    return f"A run fails on {', '.join(fatal(report))} and on a broken case."


def broken(report: Report) -> tuple[list[tuple[str, str]], int]:
    """Return the first broken cases with their messages, cropped, and how many more there are."""
    first = report.broken[:_BROKEN_SHOWN]
    shown = [
        (one_line(nodeid), crop(message.strip(), _MESSAGE_CHARACTERS, _MESSAGE_LINES)) for nodeid, message in first
    ]
    return shown, len(report.broken) - len(first)


def subject(verdict: Verdict) -> str:
    """Return what was compared with what."""
    against = f" against {one_line(verdict.reference)}" if verdict.reference else ""
    return f"{one_line(verdict.measurement)}{against}"


def explained(report: Report, verdict: Verdict) -> bool:
    """Whether a verdict fails or could not be judged, and so owes the reader its reason, and has one."""
    owes = verdict.outcome in _NEEDS_A_REASON or fails(report, verdict)
    return owes and bool(details(verdict))


def details(verdict: Verdict) -> list[tuple[str, str]]:
    """Return the reason's lines with their labels: why, where the reference is from, which samples flipped."""
    flipped = _some(verdict.lost)
    lines = [
        ("", visible(verdict.reason.strip())),
        ("from", one_line(verdict.origin)),
        ("lost", flipped if verdict.outcome is Outcome.REGRESSED else ""),
    ]
    return [(label, text) for label, text in lines if text]


def _some(ids: tuple[str, ...]) -> str:
    shown = ", ".join(one_line(name) for name in ids[:_IDS_SHOWN])
    left_out = len(ids) - _IDS_SHOWN
    return f"{shown} and {left_out:,} more" if left_out > 0 else shown
