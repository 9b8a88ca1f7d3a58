"""The report in the terminal: tables that say by a word, not by a colour alone, what each number means.

Nothing is printed as rich markup: every text goes through ``Text``, and whatever a model, a file or a sample wrote
goes through ``harness.report.text`` first.
"""

from __future__ import annotations

from collections.abc import Iterator

from rich import box
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from harness.records import Report, Verdict
from harness.report import numbers, stages, summary
from harness.report.terminal_texts import answers_table, rows_table, stages_table
from harness.report.terminal_verdicts import LOOKS, layout, signed_word, verdicts_table
from harness.report.text import visible

_QUIET = "dim"
_BAD = "bold red"
_FATAL = "fails the run"


def print_report(report: Report, console: Console) -> None:
    """Print the whole report. A stream that cannot encode a character gets its escape, never an exception."""
    if console.encoding.startswith("utf"):
        _print(report, console)
        return
    with console.capture() as captured:
        _print(report, console)
    console.file.write(captured.get().encode(console.encoding, "backslashreplace").decode(console.encoding))


def _print(report: Report, console: Console) -> None:
    for section in _sections(report, console.width):
        console.print(section)
        console.print()
    if report.next_steps:
        console.print(_title("next"))
    for step in report.next_steps:
        console.print(Text(f"  {visible(step)}"), soft_wrap=True)  # a command must be copied as one line


def _sections(report: Report, width: int) -> Iterator[RenderableType]:
    yield Group(_title("pytest-sft"), _pairs(list(summary.facts(report).items()), _QUIET, ""))
    yield from _suites(report, width)
    if report.stages is not None:
        below = Text(stages.backward_transfer(report.stages), style=_QUIET)
        yield Group(_title(stages.TITLE, stages.REMARK), stages_table(report.stages), below)
    if report.broken:
        yield _broken(report)
    if report.rows:
        yield Group(_title("training rows", "what the loss sees is between ⟦ and ⟧"), rows_table(report.rows))
    if report.answers:
        yield Group(_title("answers", "side by side, for your own eyes"), answers_table(report.answers, width))
    if report.notes:
        yield Group(_title("notes"), _pairs([("·", visible(note)) for note in report.notes], _QUIET, ""))
    yield _summary(report)


def _title(title: str, remark: str = "") -> Rule:
    text = Text.assemble((title, "bold"), (f"  {remark}" if remark else "", _QUIET))
    return Rule(text, align="left", style=_QUIET)


def _pairs(pairs: list[tuple[str, str]], left: str, right: str) -> Table:
    """Return pairs of texts in two columns, the second folded, each column in its style."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, style=left)
    grid.add_column(overflow="fold", style=right)
    for first, second in pairs:
        grid.add_row(Text(first), Text(second))
    return grid


def _suites(report: Report, width: int) -> Iterator[Group]:
    """Yield each suite: its size in the title, its table, and the reasons that it owes the reader."""
    form = layout(report.verdicts, width)
    for suite, verdicts in summary.suites(report).items():
        failing = sum(summary.fails(report, verdict) for verdict in verdicts)
        size = numbers.of_things(len(verdicts), "verdict") + (f", {failing:,} failing" if failing else "")
        parts: list[RenderableType] = [_title(suite, size), verdicts_table(verdicts, form)]
        reasons = [verdict for verdict in verdicts if summary.explained(report, verdict)]
        if reasons:
            parts.append(Padding(_reasons(reasons), (1, 0, 0, 0)))
        yield Group(*parts)


def _reasons(verdicts: list[Verdict]) -> Table:
    """Return why verdicts are what they are, each under the sign that it has in the table."""
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for verdict in verdicts:
        sign, style = LOOKS[verdict.outcome]
        grid.add_row(Text(sign, style=style), Text(summary.subject(verdict), style="bold"))
        for label, text in summary.details(verdict):
            grid.add_row("", Text.assemble((f"{label}  " if label else "", _QUIET), text))
    return grid


def _broken(report: Report) -> Group:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(no_wrap=True, style=_BAD)
    grid.add_column(overflow="fold")
    shown, left_out = summary.broken(report)
    for nodeid, message in shown:
        grid.add_row("✗", Text(nodeid, style="bold"))
        grid.add_row("", Text(message))
    if left_out:
        grid.add_row("", f"and {left_out:,} more")
    return Group(_title("broken cases", numbers.of_things(len(report.broken), "case")), grid)


def _summary(report: Report) -> Panel:
    """Return the end of it: how many of each verdict, what fails the run, and whether this one did."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(no_wrap=True)
    grid.add_column(style=_QUIET, no_wrap=True)
    for outcome, n in summary.counts(report.verdicts).items():
        fatal = outcome.value in summary.fatal(report)
        grid.add_row(f"{n:,}", signed_word(outcome), _FATAL if fatal else "")
    if report.broken:
        grid.add_row(f"{len(report.broken):,}", Text("✗ broken case", style=_BAD), _FATAL)
    if not grid.row_count:
        ran = f"{numbers.of_things(report.cases, 'case')} ran and held; " if report.cases else ""
        grid.add_row("", f"{ran}nothing was measured", "")
    colour = "green" if summary.passes(report) else "red"
    title = Text(f" {summary.headline(report)} ", style=f"bold {colour}")
    body = Group(grid, Text(""), Text(summary.rule(report), style=_QUIET))
    return Panel(body, title=title, title_align="left", border_style=colour, box=box.ROUNDED, padding=(1, 2))
