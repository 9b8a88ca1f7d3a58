"""The texts of the terminal report: answers beside each other, training rows as the loss sees them, and stages."""

from __future__ import annotations

from collections.abc import Iterable

from rich import box
from rich.table import Table
from rich.text import Text

from harness.records import RowPreview, SideBySide, StageScores
from harness.report import stages
from harness.report.text import crop, supervised_runs

_SIDE_BY_SIDE_FROM = 100  # narrower than this, four columns of prose are four columns of single words
_CHARACTERS, _LINES = 320, 8


def answers_table(answers: Iterable[SideBySide], width: int) -> Table:
    """Return questions with the answers of both models: beside each other where there is room, else below."""
    shown = [_texts(answer) for answer in answers]
    names = [name for name in ("question", "base model", "tuned model", "reference") if any(name in t for t in shown)]
    if width >= _SIDE_BY_SIDE_FROM:
        return _beside(names, shown)
    return _below(names, shown)


def _texts(answer: SideBySide) -> dict[str, Text]:
    texts = {"question": answer.prompt, "tuned model": answer.answer}
    if answer.base_answer is not None:
        texts["base model"] = answer.base_answer
    if answer.references:
        texts["reference"] = "\n".join(answer.references)
    return {name: _text(text) for name, text in texts.items()}


def _text(text: str) -> Text:
    return Text(crop(text, _CHARACTERS, _LINES)) if text.strip() else Text("(empty)", style="yellow")


def _beside(names: list[str], shown: list[dict[str, Text]]) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD,
        expand=True,
        pad_edge=False,
        show_edge=False,
        header_style="dim",
        border_style="dim",
        leading=1,
    )
    for name in names:
        table.add_column(name, ratio=1 if name == "reference" else 2, overflow="fold")
    for texts in shown:
        table.add_row(*(texts.get(name, Text("–")) for name in names))
    return table


def _below(names: list[str], shown: list[dict[str, Text]]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for number, texts in enumerate(shown):
        if number:
            table.add_row()
        for name in names:
            if name in texts:
                table.add_row(name, texts[name])
    return table


def rows_table(rows: Iterable[RowPreview]) -> Table:
    """Return training rows with their supervised text in colour and between ⟦ and ⟧; line ends are shown as ↵."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True, justify="right")
    table.add_column(overflow="fold")
    for number, preview in enumerate(rows):
        if number:
            table.add_row()
        text = Text()
        for run, supervised in supervised_runs(preview):
            text.append(run, style="green" if supervised else "")
        table.add_row(f"row {preview.row}", text)
    return table


def stages_table(scores: StageScores) -> Table:
    """Return the score of every stage's model on every stage's task."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="dim", border_style="dim")
    for number, head in enumerate(stages.heads(scores)):
        table.add_column(Text(head), justify="right" if number else "left", overflow="fold")
    for cells in stages.rows(scores):
        table.add_row(*(Text(cell) for cell in cells))
    return table
