"""The tables of verdicts: the same columns at the same places for every suite, in one line a verdict or in two."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rich import box
from rich.cells import cell_len, chop_cells
from rich.table import Table
from rich.text import Text

from harness.records import Outcome, Verdict
from harness.report.summary import Cells, cells, heading

LOOKS: dict[Outcome, tuple[str, str]] = {
    Outcome.REGRESSED: ("▼", "bold red"),
    Outcome.UNCHANGED: ("=", "green"),
    Outcome.IMPROVED: ("▲", "bold green"),
    Outcome.INCONCLUSIVE: ("?", "yellow"),
    Outcome.NEW: ("+", "cyan"),
    Outcome.MISSING: ("∅", "magenta"),
    Outcome.NOT_COMPARABLE: ("≠", "magenta"),
    Outcome.NOT_INFORMATIVE: ("~", "yellow"),
    Outcome.INVALID: ("!", "bold red"),
}
"""A verdict's sign and style; the word always stands beside them."""

Column = tuple[str, ...]
"""The fields of ``Cells`` that a column shows, one below the other."""

ONE_LINE: tuple[Column, ...] = (
    ("measurement",),
    ("reference",),
    ("reference_value",),
    ("value",),
    ("drop",),
    ("interval",),
    ("flips",),
    ("p",),
    ("n",),
    ("detectable",),
    ("margin",),
    ("verdict",),
)
TWO_LINES: tuple[Column, ...] = (
    ("measurement", "reference"),
    ("value", "reference_value"),
    ("drop", "interval"),
    ("flips", "n"),
    ("p", "margin"),
    ("verdict", "detectable"),
)

_WORDS = {"measurement", "reference", "verdict"}  # columns that begin with these are set to the left
_INDENT = "  "  # of the second line in those, so that pairs of lines show without colour too
_GAPS = (2, 1)  # cells between columns: the wider where no name needs folding for it
_MOVED = {Outcome.REGRESSED, Outcome.IMPROVED}  # only a drop that counts is coloured
_NARROWEST_NAME = 16


@dataclass(frozen=True)
class Layout:
    """Columns, their widths in cells, and the cells between them."""

    columns: tuple[Column, ...]
    widths: tuple[int, ...]
    gap: int


def layout(verdicts: Iterable[Verdict], width: int) -> Layout:
    """Return the layout for all verdicts of a report: one line each where that fits, else two.

    In the second, only the names of measurements and references may have to be folded.
    """
    rows = [(verdict, cells(verdict)) for verdict in verdicts]
    for columns in (ONE_LINE, TWO_LINES):
        widths = tuple(_width(column, rows) for column in columns)
        for gap in _GAPS:
            if sum(widths) + gap * (len(widths) - 1) <= width:
                return Layout(columns, widths, gap)
    others = widths[1:]
    room = width - sum(others) - gap * len(others)
    return Layout(columns, (max(room, _NARROWEST_NAME), *others), gap)


def _width(column: Column, rows: list[tuple[Verdict, Cells]]) -> int:
    texts = _headings(column)
    for verdict, row in rows:
        texts += _column(column, verdict, row)
    return max(text.cell_len for text in texts)


def verdicts_table(verdicts: Iterable[Verdict], form: Layout) -> Table:
    """Return the table of one suite."""
    table = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, form.gap - 1, 0, 0),  # the box has an invisible divider of one cell
        header_style="dim",
        border_style="dim",
    )
    for column, width in zip(form.columns, form.widths, strict=True):
        lines = Text("\n").join(_headings(column))
        table.add_column(lines, justify="left" if column[0] in _WORDS else "right", width=width, no_wrap=True)
    for verdict in verdicts:
        texts = cells(verdict)
        columns = [_column(column, verdict, texts) for column in form.columns]
        for first, *others in zip(*columns, strict=True):
            table.add_row(fold(first, form.widths[0]), *others)
    return table


def _headings(column: Column) -> list[Text]:
    return [Text(_indent(column, line) + heading(field)) for line, field in enumerate(column)]


def _column(column: Column, verdict: Verdict, texts: Cells) -> list[Text]:
    return [_text(field, _indent(column, line), verdict, texts) for line, field in enumerate(column)]


def _indent(column: Column, line: int) -> str:
    return _INDENT if line and column[0] in _WORDS else ""


def _text(field: str, indent: str, verdict: Verdict, texts: Cells) -> Text:
    text: str = getattr(texts, field)
    if field == "verdict":
        return signed_word(verdict.outcome)
    if field == "drop":
        return Text(text, style=LOOKS[verdict.outcome][1] if verdict.outcome in _MOVED else "")
    return Text(indent + text, style="" if field in {"measurement", "value", "flips", "p"} else "dim")


def signed_word(outcome: Outcome) -> Text:
    """Return an outcome as its sign and word, in its colour."""
    sign, style = LOOKS[outcome]
    return Text(f"{sign} {outcome.value}", style=style)


def fold(name: Text, room: int) -> Text:
    """Return a name in lines of at most ``room`` cells, broken after a ``/`` where one fits, else ``_ - .`` or blank.

    Its further lines are indented like its first.
    """
    text = name.plain
    margin = text[: len(text) - len(text.lstrip(" "))]
    lines = _pieces(text[len(margin) :], max(room - cell_len(margin), 2))
    return Text("\n".join(margin + line for line in lines), style=name.style)


def _pieces(text: str, room: int) -> list[str]:
    lines = []
    while cell_len(text) > room:
        head = chop_cells(text, room)[0]
        cut = head.rfind("/") + 1 or max(head.rfind(mark) for mark in "_-. ") + 1 or len(head)
        lines.append(text[:cut].rstrip(" "))
        text = text[cut:]
    return [*lines, text]
