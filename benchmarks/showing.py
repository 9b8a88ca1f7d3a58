"""The table of a benchmark, to the terminal and as Markdown."""

from __future__ import annotations

import datetime
import os
import platform
import resource
import shlex
import statistics
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from timing import Part

from harness.provenance import commit, versions

COLUMNS = ("part", "way", "median s", "min", "max", "tokens/s", "harness is")

READING = """\
All ways of a part run in turns in one process, on the same items. "harness is" sets the harness beside the way of that
line: 2.00x means that it needs half the time; it is the median of the ratios within each round. Likelihood counts the
tokens of every question with every choice, generation the new tokens, training the tokens without padding; each from
text to answer. Of the plain batch shapes that were tried, the table shows the quickest."""

SHOWN_VERSIONS = ("python", "torch", "transformers", "trl", "peft", "pytest-sft")


def rows_of(parts: Iterable[Part]) -> list[tuple[str, ...]]:
    """Return the cells of one line for each way of each part."""
    return [
        (
            part.name if place == 0 else "",
            way,
            *(f"{pick(times):.3f}" for pick in (statistics.median, min, max)),
            f"{part.tokens / statistics.median(times):,.0f}" if part.tokens else "",
            f"{part.ratio(way):.2f}x" if place else "",
        )
        for part in parts
        for place, (way, times) in enumerate(part.seconds.items())
    ]


def facts(model: str, repeats: int, root: Path) -> list[tuple[str, str]]:
    """Return what the numbers depend on, without the machine's name."""
    found = versions()
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return [
        ("model", model),
        ("repeats", str(repeats)),
        ("processor", f"{_processor()}, {usable} cores usable, {torch.get_num_threads()} torch threads"),
        ("accelerator", torch.cuda.get_device_name() if torch.cuda.is_available() else "none"),
        ("system", f"{platform.system()} {platform.machine()}, load average {os.getloadavg()[0]:.1f} at the end"),
        ("peak memory", f"{peak_mib():,} MiB resident, all ways together"),
        ("versions", ", ".join(f"{name} {found[name]}" for name in SHOWN_VERSIONS)),
        ("commit", commit(root) or "none"),
    ]


def show(parts: Sequence[Part], known: Sequence[tuple[str, str]]) -> None:
    """Print the table, what was measured, and where."""
    table = Table(*COLUMNS[:2])
    for column in COLUMNS[2:]:
        table.add_column(column, justify="right")
    for row in rows_of(parts):
        table.add_row(*row)
    console = Console()
    console.print(table)
    for name, text in [*((part.name, part.remark) for part in parts), *known]:
        console.print(f"[bold]{name}[/bold]: {text}", highlight=False)


def show_table(heads: Sequence[str], rows: Iterable[Iterable[str]]) -> None:
    """Print a table of texts; a pipe gets lines that are wide enough for it."""
    table = Table(*heads)
    for row in rows:
        table.add_row(*row)
    console = Console()
    Console(width=None if console.is_terminal else 200).print(table)


def markdown(parts: Sequence[Part], known: Sequence[tuple[str, str]]) -> str:
    """Return the same as a Markdown page that names the command and the date."""
    return "\n".join(
        [
            "# Speed of the main job",
            "",
            *written_by(),
            READING,
            "",
            *markdown_table(COLUMNS, rows_of(parts), "--|--|--:|--:|--:|--:|--:"),
            "",
            *markdown_table(("part", "what was done"), [(part.name, part.remark) for part in parts], "--|--"),
            "",
            *markdown_table(("", "where"), known, "--|--"),
            "",
        ]
    )


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]], rule: str) -> list[str]:
    """Return the lines of a table; ``rule`` aligns its columns."""
    lines = [head, *rows]
    written = ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
    return [written[0], f"|{rule}|", *written[1:]]


def written_by() -> list[str]:
    """Return the lines of a page that say when it was written, and by which command: the one that runs."""
    command = shlex.join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])
    return [f"Written on {datetime.date.today().isoformat()} by", "", f"    {command}", ""]


def _processor() -> str:
    """Return the processor's name; on Linux, ``platform`` tells no more than the architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def peak_mib() -> int:
    """Peak resident memory of this process; macOS counts bytes where Linux counts KiB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10))
