"""``python -m harness import-lm-eval``: earlier runs of lm-eval become a baseline that later runs are compared with."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness import baselines
from harness.errors import DataError, UsageError
from harness.records import Measurement
from harness.report.text import one_line

if TYPE_CHECKING:
    from harness.lm_eval_tasks.earlier import Logs
    from harness.lm_eval_tasks.results import Results

SUITE = "forgetting"
"""The suite that measures lm-eval's tasks, and so the one in which a stored task can be missing."""


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command and its options."""
    parser = commands.add_parser("import-lm-eval", help="store what an earlier run of lm-eval has logged as a baseline")
    add = parser.add_argument
    add(
        "paths",
        nargs="+",
        type=Path,
        metavar="PATH",
        help="lm-eval's output folder, or samples_*.jsonl in it (of several runs of a task the newest is taken)",
    )
    add("--baseline", required=True, metavar="NAME", help="the new baseline's name, for pytest's --baseline")
    add("--baseline-dir", type=Path, default=Path("baselines"), metavar="DIR", help="default: %(default)s")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Import; 0 when the baseline is stored."""
    console = Console(file=sys.stdout, highlight=False)
    stored, told = _imported(options)
    console.print(_table(stored))
    for word, text in told:
        console.print(Text(f"{word:<8} {one_line(text)}"), soft_wrap=True)
    return 0


def _imported(options: argparse.Namespace) -> tuple[list[Measurement], list[tuple[str, str]]]:
    from harness.lm_eval_tasks.earlier import newest_logs
    from harness.lm_eval_tasks.results import read_results

    if baselines.exists(options.baseline_dir, options.baseline):
        raise UsageError(
            f"baseline {options.baseline} is already in {options.baseline_dir}; import under another name, or delete "
            "its folder first."
        )
    chosen, older = newest_logs(options.paths)
    results = {path: read_results(path) for path in sorted({logs.results for logs in chosen})}
    _require_one_model(list(results.values()))
    said = [
        each for path in results for each in _of_run([logs for logs in chosen if logs.results == path], results[path])
    ]
    measurements = [each for each in said if isinstance(each, Measurement)]
    if not measurements:
        raise DataError(f"{options.paths[0]}: nothing in it can be gated; {'; '.join(map(str, said))}.")
    newest = max(chosen, key=lambda logs: logs.time)
    baseline = _baseline(options, measurements, results[newest.results], newest)
    baselines.save(options.baseline_dir, baseline)
    return measurements, [
        *(("older", f"{logs.samples} (not read)") for logs in older),
        *(("left", each) for each in said if isinstance(each, str)),
        ("stored", f"{len(measurements)} measurements in {baseline.path}"),
        ("next", f"pytest suites/ --lm-eval-tasks {_tasks(measurements)} --baseline {options.baseline}"),
    ]


def _of_run(chosen: Sequence[Logs], results: Results) -> Iterator[Measurement | str]:
    from harness.lm_eval_tasks.imported import imported, sets_of
    from harness.lm_eval_tasks.results import read_run

    runs = {logs.task: read_run(logs, results) for logs in chosen}
    for name, members in sets_of(runs, results):
        yield from imported(name, members, results)


def _require_one_model(results: Sequence[Results]) -> None:
    models = sorted({each.model for each in results})
    if len(models) > 1:
        raise DataError(
            f"{results[0].path.parent}: the runs are of {len(models)} models, {models[0]} and {models[1]}, and a "
            "baseline is of one; name the folder of one."
        )


def _baseline(
    options: argparse.Namespace, measurements: Sequence[Measurement], results: Results, newest: Logs
) -> baselines.Baseline:
    content: dict[str, Any] = dict(results.content)
    config = results.table("config")
    versions = {"lm-eval": content.get("lm_eval_version"), "transformers": content.get("transformers_version")}
    return baselines.Baseline(
        name=options.baseline,
        path=options.baseline_dir / options.baseline,
        config={
            "model": results.model,
            "apply_chat_template": bool(content.get("chat_template")),
            "limit": config.get("limit"),
            "suites": {SUITE: sorted(each.name for each in measurements)},
        },
        environment={
            "model": {"name": results.model},
            "device": str(config.get("device") or ""),
            "dtype": str(config.get("model_dtype") or "").removeprefix("torch."),
            "versions": {name: version for name, version in versions.items() if version},
            "date": newest.time[:10],
        },
        measurements={each.name: each for each in measurements},
    )


def _tasks(measurements: Sequence[Measurement]) -> str:
    """What ``--lm-eval-tasks`` has to name so that the same is measured, shots included."""
    return ",".join(sorted({f"{each.name.rpartition('/')[0]}{_shots(each.signature)}" for each in measurements}))


def _shots(signature: str) -> str:
    shots = re.search(r"\|shots:([1-9]\d*)(?:\||$)", signature)
    return f":{shots[1]}" if shots else ""


def _table(measurements: Sequence[Measurement]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column("measurement")
    for heading in ("value", "stderr", "n"):
        table.add_column(heading, justify="right")
    for each in sorted(measurements, key=lambda measurement: measurement.name):
        table.add_row(Text(one_line(each.name)), f"{each.value:.4g}", f"{each.stderr:.3g}", f"{each.n}")
    return table
