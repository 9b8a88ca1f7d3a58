"""``python -m harness benchmarks``: every general benchmark as a Markdown table, the one of docs/benchmark-sets.md."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator

from harness.benchmarks.catalogue import BENCHMARKS, SMALL
from harness.benchmarks.record import Benchmark

HEADER = (
    "name",
    "data on the hub",
    "split",
    "scored by",
    "metrics",
    "shots",
    "licence",
    "fields, in each of its forms",
)


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command."""
    parser = commands.add_parser("benchmarks", help="list the general benchmarks that --benchmarks knows")
    parser.set_defaults(run=_run)


def _run(_options: argparse.Namespace) -> int:
    sys.stdout.write("\n".join(table()) + "\n")
    return 0


def table() -> Iterator[str]:
    """The lines of the table, a benchmark a line, in the order of their names."""
    yield _line(HEADER)
    yield _line(["---"] * len(HEADER))
    for name in sorted(BENCHMARKS):
        yield _line(_cells(BENCHMARKS[name]))


def _cells(benchmark: Benchmark) -> list[str]:
    data = " ".join(filter(None, (f"`{benchmark.path}`", benchmark.config)))
    if benchmark.subjects:
        data += f", {len(benchmark.subjects)} subjects"
    shots = str(benchmark.shots) + (f" from {benchmark.shots_split}" if benchmark.shots else "")
    return [
        f"`{benchmark.name}`" + (" (small)" if benchmark.name in SMALL else ""),
        data,
        benchmark.split,
        benchmark.scoring,
        " ".join(f"`{metric}`" for metric in benchmark.metrics),
        shots,
        benchmark.licence,
        "; ".join(" ".join(f"`{field}`" for field in form.fields) for form in benchmark.forms),
    ]


def _line(cells: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(cells)} |"
