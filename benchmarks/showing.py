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
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from timing import Part

from harness.provenance import commit, versions

COLUMNS = ("part", "way", "median s", "min", "max", "tokens/s", "harness is", "peak MiB")

READING = """\
All ways of a part run in turns in one process, on the same items. "harness is" sets the harness beside the way of that
line: 2.00x means that it needs half the time; it is the median of the ratios within each round."""

SHOWN_VERSIONS = ("python", "torch", "transformers", "trl", "peft", "pytest-sft")


@dataclass(frozen=True)
class Results:
    """A table of what was measured, its first ``names`` columns texts and the others numbers, with remarks by name."""

    head: tuple[str, ...]
    rows: list[tuple[str, ...]]
    remarks: list[tuple[str, str]]
    names: int = 2


def results_of(parts: Sequence[Part]) -> Results:
    """One line for each way of each part."""
    rows = [
        (
            part.name if place == 0 else "",
            way,
            *spread(times),
            f"{part.tokens / statistics.median(times):,.0f}" if part.tokens else "",
            f"{part.ratio(way):.2f}x" if place else "",
            f"{part.peaks[way]:,}" if way in part.peaks else "",
        )
        for part in parts
        for place, (way, times) in enumerate(part.seconds.items())
    ]
    return Results(COLUMNS, rows, [(part.name, part.remark) for part in parts])


def spread(times: Sequence[float]) -> tuple[str, ...]:
    """Median, least and most, as the columns of these names show them."""
    return tuple(f"{pick(times):.3f}" for pick in (statistics.median, min, max))


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
        ("versions", ", ".join(f"{name} {found[name]}" for name in SHOWN_VERSIONS)),
        ("commit", commit(root) or "none"),
    ]


def show(results: Results, known: Sequence[tuple[str, str]]) -> None:
    """Print the table, what was measured, and where."""
    table = Table(*results.head[: results.names])
    for column in results.head[results.names :]:
        table.add_column(column, justify="right")
    for row in results.rows:
        table.add_row(*row)
    console = _console()
    console.print(table)
    for name, text in [*results.remarks, *known]:
        console.print(f"[bold]{name}[/bold]: {text}", highlight=False)


def show_table(heads: Sequence[str], rows: Iterable[Iterable[str]]) -> None:
    """Print a table of texts."""
    table = Table(*heads)
    for row in rows:
        table.add_row(*row)
    _console().print(table)


def _console() -> Console:
    """Print to the terminal; a pipe gets lines that are wide enough for a table."""
    return Console(width=None if Console().is_terminal else 200)


def page(title: str, reading: str, results: Results, known: Sequence[tuple[str, str]]) -> str:
    """Return the same as a Markdown page that names the command and the date."""
    return "\n".join([f"# {title}", "", *written_by(), reading, "", *_tables(results, known), ""])


def section(heading: str, results: Results, known: Sequence[tuple[str, str]]) -> str:
    """Return the same as a section of a page whose parts are measured one by one."""
    return "\n".join([heading, "", *written_by(), *_tables(results, known)])


def put_section(path: Path, introduction: str, section: str) -> None:
    """Put a section into the page, in the place of an older one with its heading; sections stand in their order."""
    heading = section.splitlines()[0]
    before = path.read_text(encoding="utf-8").split("\n## ")[1:] if path.is_file() else []
    kept = [part for part in before if part.splitlines()[0] != heading]
    parts = sorted([section, *kept])
    path.write_text(introduction + "".join(f"\n## {part.strip()}\n" for part in parts), encoding="utf-8")


def _tables(results: Results, known: Sequence[tuple[str, str]]) -> list[str]:
    numbers = len(results.head) - results.names
    return [
        *markdown_table(results.head, results.rows, "|".join(["--"] * results.names + ["--:"] * numbers)),
        "",
        *markdown_table(("part", "what was done"), results.remarks, "--|--"),
        "",
        *markdown_table(("", "where"), known, "--|--"),
    ]


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
