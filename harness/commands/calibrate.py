"""``python -m harness calibrate``: how often the gate of a run cries wolf, and how often it misses a real drop."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.text import Text

from harness.errors import UsageError

RUNS, TRIED = 2_000, 400

_FEWEST_RUNS = 20
"""With fewer runs not even one alarm too many could be told from chance."""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command and its options."""
    parser = commands.add_parser(
        "calibrate",
        help="simulate runs of equal models and drops of known size, and write how the gate judges them",
        description="Runs the gated cases of your suites (the same model twice, another batch size, another subset), "
        "then deals their scores out anew: runs of equal models, and drops of known size.",
    )
    add = parser.add_argument
    add(
        "--runs",
        type=_at_least_twenty,
        default=RUNS,
        metavar="N",
        help="simulated runs of the whole gate (%(default)s)",
    )
    add("--drops", type=_at_least_twenty, default=TRIED, metavar="N", help="drops of each measurement (%(default)s)")
    add("--alpha", type=float, default=0.05, metavar="A", help="the level that is calibrated (%(default)s)")
    add("--output", type=Path, metavar="FILE.md", help="write the tables there")
    add(
        "pytest",
        nargs=argparse.REMAINDER,
        metavar="SUITES ...",
        help="what you type after pytest, a folder or file first: suites/ --model ... (options alone: -- --model ...)",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Measure, simulate, tell; 0 where the gate is calibrated, 1 where it is not."""
    from harness.calibration.same_model import compared_with
    from harness.calibration.whole_gate import calibrate
    from harness.commands import calibration_page
    from harness.commands.gated_runs import recorded

    if not 0 < options.alpha < 0.5:
        raise UsageError(f"--alpha {options.alpha}: a significance level lies between 0 and 0.5, as in 0.05.")
    _check_output(options.output)
    asked = [argument for argument in options.pytest if argument != "--"] or ["suites/"]
    console = Console(stderr=True)
    console.print(Text(f"measuring: pytest {shlex.join(asked)}"))
    first = recorded(asked)
    if not first.gated:
        raise UsageError(
            f"pytest {shlex.join(asked)} compares nothing with a base model, so there is nothing to calibrate; "
            "name --model and --base-model."
        )
    half = [recorded([*asked, *_half(first.measured), "--seed", seed]).measured for seed in ("1", "2")]
    twice = {
        "the same again": (first.measured, recorded(asked).measured),
        "one row a batch": (first.measured, recorded([*asked, "--batch-size", "1"]).measured),
        "two subsets, half of the largest set": (half[0], half[1]),
    }
    again = {name: compared_with(*pair, margins=first.margins, alpha=options.alpha) for name, pair in twice.items()}
    gated = [first.gated[name] for name in sorted(first.gated)]
    runs = _counted(options.runs, console)
    found = calibrate(gated, alpha=options.alpha, runs=options.runs, tried=options.drops, track=runs)
    page = calibration_page.Page(_command(options), found, again, first.left_out, options.drops)
    calibration_page.show(page, Console(file=sys.stdout, highlight=False))
    if options.output:
        options.output.write_text(calibration_page.to_markdown(page), encoding="utf-8")
    return 1 if found.family.clearly_above(options.alpha) else 0


def _half(measured: dict[str, Any]) -> tuple[str, str]:
    """The option that cuts the largest set to its half, so that two draws of it overlap; smaller sets stay whole."""
    return "--limit", str(max(each.n for each in measured.values()) // 2 + 1)


def _counted(runs: int, console: Console) -> Iterable[int]:
    return track(range(runs), "simulating", console=console, transient=True, disable=not console.is_terminal)


def _command(options: argparse.Namespace) -> Sequence[str]:
    told = ["python", "-m", "harness", "calibrate"]
    told += ["--runs", str(options.runs)] * (options.runs != RUNS)
    told += ["--drops", str(options.drops)] * (options.drops != TRIED)
    told += ["--alpha", str(options.alpha)] * (options.alpha != 0.05)
    return [*told, *(["--output", str(options.output)] if options.output else []), *options.pytest]


def _check_output(path: Path | None) -> None:
    """Say before the long work that the page cannot be written."""
    if path is not None and (path.is_dir() or not path.parent.is_dir()):
        raise UsageError(f"--output {path}: name a file in a folder that is there.")


def _at_least_twenty(text: str) -> int:
    if not text.isdecimal() or int(text) < _FEWEST_RUNS:
        raise argparse.ArgumentTypeError(f"{text!r}: give a number of runs, {_FEWEST_RUNS} at least")
    return int(text)
