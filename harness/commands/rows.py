"""``python -m harness rows``: training rows as they were written, and as tokens, those that are learned in colour."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.dataset.row_text import RowText, row_text
from harness.errors import UsageError
from harness.once import default_cache
from harness.records import RowPreview
from harness.report.terminal_texts import rows_table
from harness.report.text import crop

if TYPE_CHECKING:
    from harness.inspection.matching import Inspection
    from harness.inspection.origins import Match
    from harness.models.fetch import Access
    from harness.rows import Row

SHOWN = 5
CHARACTERS, LINES = 600, 12
"""How much of a message is shown as it was written."""

BETWEEN = "│"


@dataclass(frozen=True)
class Shown:
    """A row as it was written (where that is known) and as the loss sees it (where a tokenizer is known)."""

    written: RowText | None
    preview: RowPreview | None = None
    tokens: int = 0
    learned: int = 0


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command and its options."""
    parser = commands.add_parser("rows", help="show training rows as they were written and as tokens")
    add = parser.add_argument
    add("file", nargs="?", type=Path, metavar="FILE", help="training rows (JSONL), in any form that --train-data takes")
    add("--recipe", type=Path, metavar="FILE", help="rows as this recipe's own trainer prepares them (loads its model)")
    add("--model", metavar="REF", help="show FILE as tokens of this model, as trl would train on them; no weights")
    add("--tokens", action="store_true", help=f"show with {BETWEEN} where tokens meet")
    add("--limit", type=int, default=SHOWN, metavar="N", help="rows that are shown (%(default)s)")
    add("--seed", type=int, metavar="S", help="choose them by this seed; without it, the first ones")
    add("--offline", action="store_true", help="no network at all; an error where one would be needed")
    add("--cache-dir", type=Path, default=default_cache(), metavar="DIR", help="default: %(default)s")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Show rows; 0 when they are shown."""
    shown, total = _shown(options)
    console = Console(file=sys.stdout, highlight=False)
    for row in shown:
        console.print(*_printed(row), sep="\n")
    for line in _told(shown, total, options):
        console.print(Text(line, style="dim"), soft_wrap=True)
    return 0


def _shown(options: argparse.Namespace) -> tuple[list[Shown], int]:
    """The chosen rows, and how many there are to choose from."""
    if (options.file is None) == (options.recipe is None):
        raise UsageError("rows: give one of FILE and --recipe FILE.")
    if options.recipe is not None and options.model is not None:
        raise UsageError("rows: --recipe names its model itself; leave --model out.")
    if options.limit < 1:
        raise UsageError(f"--limit {options.limit}: a whole number of 1 or more.")
    from harness.models.fetch import Access

    access = Access(options.cache_dir, options.offline)
    if options.recipe is not None:
        return _of_a_recipe(options, access)
    from harness.rows import read_rows

    rows = read_rows(options.file)
    numbers = _chosen(len(rows), options)
    written = [row_text(rows[number], number) for number in numbers]
    if options.model is None:
        return [Shown(row) for row in written], len(rows)
    return list(_as_tokens([rows[n] for n in numbers], written, options, access)), len(rows)


def _chosen(count: int, options: argparse.Namespace) -> list[int]:
    if options.seed is None or options.limit >= count:
        return list(range(min(options.limit, count)))
    return sorted(random.Random(options.seed).sample(range(count), options.limit))


def _as_tokens(
    rows: Sequence[Row], written: Sequence[RowText], options: argparse.Namespace, access: Access
) -> Iterator[Shown]:
    """The rows as trl prepares them for the model's tokenizer; a row that nothing is learned from has no tokens."""
    from harness.inspection.matching import inspect_batches
    from harness.inspection.stand_in import stand_in_trainer
    from harness.models.files import read_files
    from harness.references import parse_reference
    from harness.training.data import without_bars

    with without_bars():
        tokenizer = read_files(parse_reference(options.model), access).tokenizer
        seen = inspect_batches(stand_in_trainer(tokenizer, rows), rows)
    by_source = {match.source: match for match in seen.matches}
    for at, row in enumerate(written):
        match = by_source.get(at)
        yield Shown(row) if match is None else _seen(row, match, seen, options)


def _of_a_recipe(options: argparse.Namespace, access: Access) -> tuple[list[Shown], int]:
    from harness.inspection.matching import inspect_batches
    from harness.models.fetch import checkpoint_folder
    from harness.references import parse_reference
    from harness.training.data import training_rows_of, without_bars
    from harness.training.recipe import load_recipe
    from harness.training.trainer import build_trainer

    recipe = load_recipe(options.recipe)
    rows = training_rows_of(recipe, offline=options.offline)

    def resolve(text: str) -> str:
        return str(checkpoint_folder(parse_reference(text), access))

    with tempfile.TemporaryDirectory() as folder, without_bars():
        trainer = build_trainer(recipe, resolve, Path(folder), offline=options.offline)
        seen = inspect_batches(trainer, rows)
    chosen = [seen.matches[number] for number in _chosen(len(seen.matches), options)]
    known = [None if match.source is None else row_text(rows[match.source], match.source) for match in chosen]
    return [_seen(row, match, seen, options) for row, match in zip(known, chosen, strict=True)], len(seen.matches)


def _seen(row: RowText | None, match: Match, seen: Inspection, options: argparse.Namespace) -> Shown:
    from harness.inspection.batches import IGNORED
    from harness.inspection.documents import preview

    between = BETWEEN if options.tokens else ""
    (found,) = preview([match.segment], seen.tokenizer, between=between)
    number = match.segment.row if row is None else row.number
    labels: Any = match.segment.labels
    return Shown(row, replace(found, row=number), len(labels), sum(label != IGNORED for label in labels))


def _printed(shown: Shown) -> Iterator[Table | Text]:
    """A row for the terminal: its messages, its tokens, its length."""
    if shown.written is not None:
        yield Text(f"row {shown.written.number}", style="bold")
        table = Table.grid(padding=(0, 2))
        table.add_column(style="dim", no_wrap=True, justify="right")
        table.add_column(overflow="fold")
        for role, text in shown.written.turns:
            table.add_row(Text(crop(role, 20, 1)), Text(crop(text, CHARACTERS, LINES)))
        yield table
    if shown.preview is not None:
        yield rows_table([shown.preview])
        yield Text(f"{shown.tokens} tokens, {shown.learned} of them learned (between ⟦ and ⟧)", style="dim")
    yield Text()


def _told(shown: Sequence[Shown], total: int, options: argparse.Namespace) -> Iterator[str]:
    yield f"{len(shown)} of {total} rows"
    if options.recipe is None and options.model is None:
        yield f"as tokens:  python -m harness rows {options.file} --model REF"
    elif missing := [row.written.number for row in shown if row.written is not None and row.preview is None]:
        yield f"nothing is learned from: {', '.join(f'row {number}' for number in missing)}"
