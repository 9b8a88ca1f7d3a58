"""Earlier runs of lm-eval in a folder: which files belong together, and which of several runs is the newest."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import DataError

SAMPLES = re.compile(r"samples_(?P<task>.+)_(?P<time>\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d(?:\.\d+)?)\.jsonl")
"""What ``--log_samples`` calls the samples of a task, from lm-eval 0.4.3 on."""


@dataclass(frozen=True)
class Logs:
    """The samples of one task and the results of the run that they are from."""

    task: str
    time: str
    samples: Path
    results: Path


def newest_logs(places: Sequence[Path]) -> tuple[list[Logs], list[Logs]]:
    """For each task in these files and folders its newest run, and the older ones that are left.

    Raises DataError where a place holds no samples, or where the results of a run are not beside them.
    """
    by_task: dict[str, list[Logs]] = {}
    for place in places:
        found = [_logs(path) for path in _sample_files(place)]
        if not found:
            raise DataError(
                f"{place}: holds no samples_TASK_TIME.jsonl; run lm-eval with --output_path and --log_samples, and "
                "name its output folder."
            )
        for logs in found:
            by_task.setdefault(logs.task, []).append(logs)
    ordered = [sorted(set(runs), key=lambda logs: logs.time) for _, runs in sorted(by_task.items())]
    for runs in ordered:
        if len(runs) > 1 and runs[-1].time == runs[-2].time:
            raise DataError(
                f"{runs[-1].samples}: {runs[-2].samples} is of the same task and time; name one folder of the two."
            )
    return [runs[-1] for runs in ordered], [logs for runs in ordered for logs in runs[:-1]]


def _sample_files(place: Path) -> Iterator[Path]:
    if place.is_dir():
        yield from sorted(path for path in place.rglob("samples_*.jsonl") if SAMPLES.fullmatch(path.name))
    elif not place.is_file():
        raise DataError(f"{place}: there is no such file or folder; check the path.")
    elif not SAMPLES.fullmatch(place.name):
        raise DataError(
            f"{place}: the name is not samples_TASK_TIME.jsonl, which says of which task and run it is; give the file "
            "the name that lm-eval gave it."
        )
    else:
        yield place


def _logs(path: Path) -> Logs:
    match = SAMPLES.fullmatch(path.name)
    assert match is not None
    results = sorted(path.parent.glob(f"*_{match['time']}.json"))
    if not results:
        raise DataError(
            f"{path}: results_{match['time']}.json is not beside it, which says with which settings the run was made; "
            "put it there."
        )
    return Logs(match["task"], match["time"], path.resolve(), results[0].resolve())
