"""``python -m harness select``: a teacher answers prompts, and the best answers become training rows."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from harness.errors import UsageError
from harness.once import default_cache
from harness.report.text import one_line

if TYPE_CHECKING:
    from harness.selection.choosing import Choice
    from harness.selection.select import Prepared

SHOWN = 3
"""Prompts whose kept answer is shown at the end."""
SHOWN_CHARACTERS = 160


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command and its options."""
    parser = commands.add_parser("select", help="let a teacher answer prompts and keep the best answers as rows")
    add = parser.add_argument
    add("--teacher", required=True, metavar="REF", help="the model that answers, as --model takes it")
    add("--prompts", required=True, type=Path, metavar="FILE", help="samples or training rows (JSONL)")
    add("--output", required=True, type=Path, metavar="FILE", help="the rows (JSONL); appears when it is whole")
    add("--k", type=int, default=4, metavar="K", help="answers to a prompt (%(default)s)")
    add("--metric", default="chrf", help="exact_match, bleu, chrf, rouge1, rouge2, rougeL or rougeLsum (%(default)s)")
    add(
        "--against",
        choices=["references", "answers"],
        help="score against the prompts' references, or against the other answers to the prompt (default: the first "
        "where there are any)",
    )
    add("--min-score", type=float, metavar="X", help="keep no answer below this; never one that scores 0")
    add("--temperature", type=float, default=0.8, metavar="T", help="(%(default)s)")
    add("--top-p", type=float, default=0.95, metavar="P", help="(%(default)s)")
    add("--max-new-tokens", type=int, default=256, metavar="N", help="an answer cut off here is not kept (%(default)s)")
    add("--seed", type=int, default=0, metavar="S", help="of the answers and of --limit (%(default)s)")
    add("--limit", type=int, metavar="N", help="ask a seeded subset of N prompts")
    add("--base-model", metavar="REF", help="the base of a teacher that is an adapter, where it cannot be found")
    add("--batch-size", type=int, metavar="N", help="answers at once; default: a budget of tokens")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1")
    add("--offline", action="store_true", help="no network at all; an error where one would be needed")
    add("--cache-dir", type=Path, default=default_cache(), metavar="DIR", help="default: %(default)s")
    parser.set_defaults(run=run, interrupted="the same command goes on with the answers that are there")


def run(options: argparse.Namespace) -> int:
    """Select; 0 when the rows are there."""
    prepared, choices = _selected(options, Console(stderr=True))
    _show(Console(file=sys.stdout), prepared, choices)
    return 0


def _selected(options: argparse.Namespace, screen: Console) -> tuple[Prepared, list[Choice]]:
    for name in ("limit", "batch_size"):
        if getattr(options, name) is not None and getattr(options, name) < 1:
            raise UsageError(f"--{name.replace('_', '-')} {getattr(options, name)}: a whole number of 1 or more.")
    from harness.engine.sampling import Sampling
    from harness.models.fetch import Access
    from harness.models.load import LoadOptions, load
    from harness.references import parse_reference
    from harness.selection.scoring import Against
    from harness.selection.select import Wanted, prepare, select
    from harness.training.data import without_bars

    wanted = Wanted(
        prompts=options.prompts,
        output=options.output,
        k=options.k,
        metric=options.metric,
        against=Against(options.against) if options.against else None,
        min_score=options.min_score,
        limit=options.limit,
        sampling=Sampling(options.temperature, options.top_p, options.max_new_tokens, options.seed),
    )
    prepared = prepare(wanted)
    base = parse_reference(options.base_model) if options.base_model else None
    access = Access(options.cache_dir, options.offline)
    with Progress(console=screen, transient=True) as progress:

        def track(batches: Sequence[Any], description: str) -> Iterable[Any]:
            return progress.track(batches, description=description)

        loading = LoadOptions(access, base, options.device, batch_size=options.batch_size, track=track)
        with without_bars():
            teacher = load(parse_reference(options.teacher), loading)
        return prepared, select(prepared, teacher)


def _show(console: Console, prepared: Prepared, choices: Sequence[Choice]) -> None:
    """Print what was kept, what was not and why, and what choosing has gained."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, number in _counts(choices):
        table.add_row(name, number)
    console.print(table)
    for line in _told(prepared, choices):
        console.print(Text(line), soft_wrap=True)


def _counts(choices: Sequence[Choice]) -> Iterator[tuple[str, str]]:
    kept = sum(choice.kept is not None for choice in choices)
    unanswerable = sum(not choice.answerable for choice in choices)
    reasons = Counter(answer.unusable for choice in choices for answer in choice.answers if answer.unusable)
    yield "prompts", f"{len(choices)}"
    yield "  kept", f"{kept}"
    yield "  not kept: no usable answer", f"{unanswerable}"
    yield "  not kept: score too low", f"{len(choices) - kept - unanswerable}"
    yield "answers", f"{sum(len(choice.answers) for choice in choices)}"
    for reason, number in sorted(reasons.items()):
        yield f"  {reason}", f"{number}"


def _told(prepared: Prepared, choices: Sequence[Choice]) -> Iterator[str]:
    from harness.selection.choosing import CONFIDENCE, gain

    wanted, gained = prepared.wanted, gain(choices)
    if gained is not None:
        interval = (
            f"{CONFIDENCE:.0%} interval {gained.low:.4g} to {gained.high:.4g}, " if gained.low is not None else ""
        )
        yield (
            f"gained   mean {wanted.metric} against {prepared.against}: {gained.first:.4g} of first answers, "
            f"{gained.kept:.4g} of the kept ({gained.kept - gained.first:+.4g}; {interval}n {gained.n})"
        )
        scores = sorted(choice.kept.score or 0.0 for choice in choices if choice.kept)
        yield f"scores   of the kept: lowest {scores[0]:.4g}, median {median(scores):.4g}; --min-score sets a bar"
    for choice in [choice for choice in choices if choice.kept][:SHOWN]:
        question, answer = one_line(choice.sample.prompt), one_line(choice.kept.text if choice.kept else "")
        yield f"kept     {question[:SHOWN_CHARACTERS]} → {answer[:SHOWN_CHARACTERS]}"
    yield f"rows     {wanted.output}"
    yield f"next     pytest suites/ -m preflight --model MODEL --train-data {wanted.output}"
