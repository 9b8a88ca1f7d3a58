"""A calibration in words and tables, for the terminal and for the docs."""

from __future__ import annotations

import datetime
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.calibration.rates import Rate
from harness.calibration.same_model import Again
from harness.calibration.whole_gate import Calibrated, Calibration
from harness.provenance import versions
from harness.report import numbers
from harness.report.markdown import code, plain, table
from harness.report.text import one_line

HEADS = ("suite", "measurement", "n", "flips", "margin", "false alarms", "detectable drop", "caught")
AGAIN_HEADS = ("the same model", "compared", "not comparable", "scores", "moved", "largest change", "alarms")


@dataclass(frozen=True)
class Page:
    """What was typed, what came out, and what could not be calibrated."""

    command: Sequence[str]
    found: Calibration
    again: Mapping[str, Again]
    left_out: Mapping[str, str]
    drops: int


def show(page: Page, console: Console) -> None:
    """Print the tables to a terminal."""
    narrow = [tuple(cell.partition(" (")[0] for cell in row[1:]) for row in map(_row, page.found.comparisons)]
    for heads, rows in ((AGAIN_HEADS, _again_rows(page)), (HEADS[1:], narrow)):
        shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for place, head in enumerate(heads):
            shown.add_column(head, overflow="fold", justify="right" if place else "left")
        for row in rows:
            shown.add_row(*(Text(one_line(cell)) for cell in row))
        console.print(shown)
    for line in _conclusions(page):
        console.print(Text(line, style="bold"), soft_wrap=True)


def to_markdown(page: Page) -> str:
    """The page of the docs."""
    made = ", ".join(f"{name} {version}" for name, version in versions().items())
    return "\n".join(
        [
            "# Calibration of the gate",
            "",
            f"Written on {datetime.date.today().isoformat()} by",
            "",
            f"    {shlex.join(page.command)}",
            "",
            f"with {made}.",
            "",
            "## One model measured twice",
            "",
            "Nothing has changed, so nothing may be called a regression; what moves here is the machine's noise floor.",
            "",
            table(AGAIN_HEADS, ([plain(cell) for cell in row] for row in _again_rows(page))),
            "",
            "## Runs of equal models, and drops of known size",
            "",
            "Each sample was scored for two models. A simulated run deals these two scores out anew, by a fair coin a",
            "sample (a cluster of samples together): its two sides are equally good, and differ as much as real ones",
            "do. The whole gate judges each run. Then the coin is loaded until the expected drop is just what the gate",
            "prints as the smallest detectable one, which it promises to see four times in five; of rates, which",
            "hardly move in a good model, as many more answers are lost on top of the usual flips.",
            "",
            *(f"- {plain(line)}" for line in _conclusions(page)),
            "",
            table(
                HEADS,
                ([code(row[1]) if at == 1 else plain(cell) for at, cell in enumerate(row)] for row in _rows(page)),
            ),
            "",
            *_remarks(page),
        ]
    )


def _rows(page: Page) -> Iterator[tuple[str, ...]]:
    return map(_row, page.found.comparisons)


def _row(each: Calibrated) -> tuple[str, ...]:
    measurement = each.gated.measurement
    scores, others = measurement.scores, each.gated.reference.scores
    flips = sum(scores[name].values != others[name].values for name in scores.keys() & others.keys())
    return (
        each.gated.suite,
        measurement.name,
        numbers.count(measurement.n),
        str(flips),
        f"{each.gated.margin:g}",
        _short(each.alarms),
        numbers.NONE if each.detectable is None else f"{each.detectable:.3g}",
        numbers.NONE if each.power is None else _short(each.power),
    )


def _again_rows(page: Page) -> Iterator[tuple[str, ...]]:
    for name, again in page.again.items():
        alarms = ", ".join(again.alarms) or "none"
        moved = f"{again.largest_drop:.3g}"
        compared = (str(again.measurements), str(again.not_comparable), numbers.count(again.scores))
        yield name, *compared, str(again.flips), moved, alarms


def _conclusions(page: Page) -> Iterator[str]:
    found = page.found
    yield f"runs in which anything at all regressed, alpha {found.alpha:g}: {found.family}"
    for suite, rate in found.suites.items():
        yield f"suite {suite}: {rate}"
    tried = [each for each in found.comparisons if each.power is not None]
    if tried:
        weakest = min(tried, key=lambda each: each.power.value if each.power else 1.0)
        name = weakest.gated.measurement.name
        yield f"drops of the printed size that were caught, at worst ({name}): {weakest.power}"


def _remarks(page: Page) -> Iterator[str]:
    yield f"In brackets: the exact 95 % interval of a rate. Drops: {page.drops} of each measurement."
    if any(each.power is None for each in page.found.comparisons):
        yield ""
        yield "A dash: too few samples for a printed drop, or the two models' scores do not hold a drop so large."
    for name, reason in page.left_out.items():
        yield ""
        yield f"Left out: {code(name)}, since {plain(reason)}."
    yield ""


def _short(rate: Rate) -> str:
    low, high = rate.interval
    return f"{rate.value:.1%} ({low:.1%} to {high:.1%})"
