"""The files of an earlier run of lm-eval, read into what a run of this moment gives: every fault is one sentence."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import DataError
from harness.lm_eval_tasks.earlier import Logs
from harness.lm_eval_tasks.logged import Logged, by_filter, logged
from harness.lm_eval_tasks.scores import UNFILTERED, check_config, entries_of
from harness.lm_eval_tasks.signature import TaskRun, template_name
from harness.samples import json_lines


@dataclass(frozen=True)
class Results:
    """What ``results_TIME.json`` says of a whole run."""

    path: Path
    content: Mapping[str, Any]

    def table(self, key: str) -> Mapping[str, Any]:
        """The object under ``key``, empty where there is none; raises DataError for anything else there."""
        return _object(self.content.get(key), f"{self.path}: {key}")

    def of(self, key: str, task: str) -> Mapping[str, Any]:
        """The same of one task."""
        return _object(self.table(key).get(task), f"{self.path}: {key} of {task}")

    def count(self, what: Any, value: Any) -> int | None:
        """A whole number from 0 up, or None where there is none; raises DataError for anything else."""
        if value is not None and (type(value) is not int or value < 0):
            raise DataError(f"{self.path}: {what} is {str(value)[:40]!r}, where lm-eval writes a whole number.")
        return value

    @property
    def model(self) -> str:
        """The model's name as lm-eval was given it."""
        config = self.table("config")
        arguments = config.get("model_args") or ""
        named = arguments.get("pretrained") if isinstance(arguments, Mapping) else arguments
        return str(self.content.get("model_name") or named or config.get("model") or "")


def _object(value: Any, place: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping | None):
        raise DataError(f"{place} is {type(value).__name__}, where lm-eval writes an object.")
    return value or {}


def read_results(path: Path) -> Results:
    """Read the results of a run; raises DataError where the file is damaged or something else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}: not valid JSON at column {error.colno}; was it cut off?") from None
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: cannot be read ({error}); check the file.") from None
    if not isinstance(content, dict) or not all(isinstance(content.get(key), dict) for key in ("results", "configs")):
        raise DataError(f"{path}: holds no results and configs of tasks; is this a file that lm-eval wrote?")
    return Results(path, content)


def read_run(logs: Logs, results: Results) -> TaskRun:
    """Read one task's samples; raises DataError, naming file and line, where they are not those of the results."""
    reported, config = results.of("results", logs.task), results.of("configs", logs.task)
    if not reported or not config:
        known = ", ".join(sorted(results.content["results"]))
        raise DataError(f"{logs.samples}: {results.path.name} beside it says nothing of {logs.task}, but of {known}.")
    check_config(config, f"{results.path}, {logs.task}")
    values = {key: float(value) for key, value in reported.items() if "," in key and type(value) in (int, float)}
    keys = [key for key in values if not key.partition(",")[0].endswith("_stderr")]
    if not keys:
        raise DataError(f"{results.path}: reports no number of {logs.task}; run lm-eval on it again.")
    lines = [logged(line, f"{logs.samples}:{number}") for number, line in json_lines(logs.samples)]
    samples = by_filter(lines, _filters(config, keys), logs.task)
    _check_scores(lines, keys, logs.task)
    _check_whole(lines, logs, results)
    return TaskRun(
        task=logs.task,
        config=config,
        version=str(results.table("versions").get(logs.task, "")),
        shots=results.count(f"n-shot of {logs.task}", results.table("n-shot").get(logs.task)) or 0,
        template=template_name(results.content.get("chat_template")),
        samples=samples,
        reported={key: values[key] for key in keys},
        limited=_is_limited(results, logs.task),
    )


def _filters(config: Mapping[str, Any], keys: Sequence[str]) -> list[str]:
    """The task's filters in the order in which their samples were logged."""
    names = [str(each["name"]) for each in entries_of(config.get("filter_list") or {"name": UNFILTERED})]
    return [name for name in names if any(key.endswith(f",{name}") for key in keys)] or [UNFILTERED]


def _check_scores(lines: Sequence[Logged], keys: Sequence[str], task: str) -> None:
    metrics = {key.partition(",")[0] for key in keys}
    for line in lines:
        if not metrics & line.values.keys():
            raise DataError(
                f"{line.where}: sample {line.doc_id} has none of the scores of {task} ({', '.join(sorted(metrics))}); "
                "it is of another task, or of a run without scoring."
            )


def _check_whole(lines: Sequence[Logged], logs: Logs, results: Results) -> None:
    """lm-eval counts a task's samples and signs their prompts and targets, so what was cut, added or edited shows."""
    ids = {line.doc_id for line in lines}
    counted = results.count(f"n-samples of {logs.task}", results.of("n-samples", logs.task).get("effective"))
    if counted is not None and counted != len(ids):
        raise DataError(
            f"{logs.samples}: holds {len(ids)} samples, and {results.path.name} counts {counted}; the file was cut, or "
            "something was added to it."
        )
    signed = results.table("task_hashes").get(logs.task)
    if not signed:
        return
    parts = [str(line.values.get(f"{part}_hash")) for line in lines for part in ("doc", "prompt", "target")]
    if hashlib.sha256("".join(parts).encode()).hexdigest() != signed:
        raise DataError(
            f"{logs.samples}: its {len(ids)} samples are not those that {results.path.name} has signed; the file is of "
            "another run, or was edited."
        )


def _is_limited(results: Results, task: str) -> bool:
    counted = results.of("n-samples", task)
    whole = results.count(f"n-samples of {task}", counted.get("original"))
    return (
        results.table("config").get("limit") is not None if whole is None else whole != counted.get("effective", whole)
    )
