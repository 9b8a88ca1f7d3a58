"""``python -m harness zoo``: the walk, with progress on the screen, and its table as text, JSON or Markdown."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from harness.zoo.exhibit import Fault, Trap
from harness.zoo.results import headline, outcome, summary, to_markdown
from harness.zoo.visit import Seen, visit


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command and its options."""
    parser = commands.add_parser("zoo", help="inject real faults one by one and show which case catches each")
    parser.add_argument("ids", nargs="*", metavar="ID", help="what an id begins with: mask, stop-0")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    parser.add_argument("--markdown", metavar="FILE", type=Path, help="write the table as Markdown")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Walk through the exhibits that were asked for; 0 where every fault is caught and nothing else is flagged."""
    import torch

    from harness.zoo.catalogue import LEFT_OUT, faults, traps

    torch.set_num_threads(1)  # models this small wait longer for a second thread than they compute
    everything: tuple[Fault | Trap, ...] = (*faults(), *traps())
    chosen = [each for each in everything if not options.ids or each.id.startswith(tuple(options.ids))]
    unknown = [text for text in options.ids if not any(each.id.startswith(text) for each in everything)]
    if unknown:
        sys.stderr.write(f"no exhibit's id begins with {unknown[0]!r}; ids are like {everything[0].id}\n")
        return 2
    results = list(_walked(chosen, quiet=options.json))
    if options.json:
        sys.stdout.write(json.dumps(_as_data(results, LEFT_OUT), indent=2, ensure_ascii=False) + "\n")
    else:
        _show(results, LEFT_OUT if not options.ids else {})
    if options.markdown:
        options.markdown.write_text(to_markdown(results, LEFT_OUT), encoding="utf-8")
    return 0 if all(seen.sound for seen in results) else 1


def _walked(chosen: Sequence[Fault | Trap], quiet: bool) -> Iterable[Seen]:
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=quiet or not console.is_terminal) as progress:
        task = progress.add_task("walking", total=len(chosen))
        for exhibit in chosen:
            progress.update(task, description=exhibit.id)
            yield visit(exhibit)
            progress.advance(task)


def _as_data(results: Sequence[Seen], left_out: dict[str, str]) -> dict[str, object]:
    return {"summary": summary(results), "exhibits": [asdict(seen) for seen in results], "left_out": left_out}


def _show(results: Sequence[Seen], left_out: dict[str, str]) -> None:
    console = Console()
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("id", "exhibit", "outcome", "s"):
        table.add_column(heading, overflow="fold", justify="right" if heading == "s" else "left")
    for seen in results:
        style = "" if seen.sound else "bold red"
        table.add_row(seen.id, Text(seen.name), Text(outcome(seen), style=style), f"{seen.seconds:.1f}")
    console.print(table)
    for identity, reason in left_out.items():
        console.print(Text(f"not in the zoo: {identity}, since {reason}", style="dim"))
    console.print(Text(headline(results), style="bold"))
