"""The files of an earlier run of lm-eval, read into what a run of this moment gives: every fault is one sentence."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import DataError
from harness.lm_eval_tasks.aggregations import RULES
from harness.lm_eval_tasks.earlier import Logs
from harness.lm_eval_tasks.logged import Logged, by_filter, logged
from harness.lm_eval_tasks.measured import measurement_of
from harness.lm_eval_tasks.scores import AGGREGATIONS, LOWER, UNFILTERED, Score, check_config, entries_of, scores_of
from harness.lm_eval_tasks.signature import TaskRun, template_name
from harness.records import Measurement
from harness.samples import json_lines


@dataclass(frozen=True)
class Results:
    """What ``results_TIME.json`` says of a whole run."""

    path: Path
    content: Mapping[str, Any]

    def table(self, key: str) -> Mapping[str, Any]:
        """The object under ``key``, empty where there is none; raises DataError for anything else there."""
        found = self.content.get(key)
        if not isinstance(found, Mapping | None):
            raise DataError(f"{self.path}: {key} is {type(found).__name__}, where lm-eval writes an object.")
        return found or {}

    def of(self, key: str, task: str) -> Mapping[str, Any]:
        """The same of one task."""
        return Results(self.path, {f"{key} of {task}": self.table(key).get(task)}).table(f"{key} of {task}")

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


def sets_of(runs: Mapping[str, TaskRun], results: Results) -> Iterator[tuple[str, list[TaskRun]]]:
    """The sample sets of a run: a group of which it reports a mean is one, where all its tasks are there."""
    tree = {name: members for name, members in results.table("group_subtasks").items() if members}
    _check_tree(tree, results)
    inside = {member for members in tree.values() for member in members}
    grouped = [name for name in tree if name not in inside]
    for name in (*grouped, *(task for task in runs if task not in inside)):
        yield from _sets(name, tree, runs, results)


def _check_tree(tree: Mapping[str, Any], results: Results) -> None:
    if not all(isinstance(each, list) and all(isinstance(member, str) for member in each) for each in tree.values()):
        raise DataError(f"{results.path}: group_subtasks holds something else than lists of names.")
    reached = {name: set(members) for name, members in tree.items()}
    for _ in tree:  # no chain of groups is longer than there are groups
        reached = {
            name: set().union(members, *(reached.get(each, ()) for each in members))
            for name, members in reached.items()
        }
    if around := [name for name, members in reached.items() if name in members]:
        raise DataError(f"{results.path}: group_subtasks makes the group {around[0]} a member of itself.")


def _sets(
    name: str, tree: Mapping[str, Sequence[str]], runs: Mapping[str, TaskRun], results: Results
) -> Iterator[tuple[str, list[TaskRun]]]:
    tasks = list(_tasks(name, tree))
    if name in runs or (results.of("groups", name) and all(task in runs for task in tasks)):
        yield name, [runs[task] for task in tasks]
        return
    for member in tree.get(name, ()):
        yield from _sets(member, tree, runs, results)


def _tasks(name: str, tree: Mapping[str, Sequence[str]]) -> Iterator[str]:
    if name not in tree:
        yield name
    for member in tree.get(name, ()):
        yield from _tasks(member, tree)


def imported(name: str, runs: Sequence[TaskRun], results: Results) -> Iterator[Measurement | str]:
    """The measurements of a set and, in words, what of it cannot be stored; raises DataError for damaged scores."""
    declared, left = scores_of(runs[0].config)
    yield from (f"{name}: lm-eval's {each} is not imported" for each in left)
    reported = runs[0].reported if name == runs[0].task else results.of("groups", name)
    for key in [key for key in runs[0].reported if key in reported]:
        metric, _, filtered = key.partition(",")
        if any(each.startswith(f"{metric} (") for each in left):
            continue
        known = next((score for score in declared if score.key == key), None)
        if known is None:
            higher = _is_higher_better(results, runs[0].task, metric)
            yield _undeclared(name, runs, Score(metric, filtered, AGGREGATIONS.get(metric, "mean"), higher))
            continue
        measurement = measurement_of(name, runs, known)
        if measurement.problems:
            raise DataError(f"{results.path}: {measurement.problems[0]}; the files are not of one run, or were edited.")
        yield measurement


def _undeclared(name: str, runs: Sequence[TaskRun], score: Score) -> Measurement | str:
    """A number that the task does not declare (it scores for itself), where it turns out as its metric's usual one."""
    refused = f"{name}: lm-eval's {score.label} is not imported (it is not the {score.aggregation} of its samples)"
    if score.aggregation not in RULES:
        return refused
    try:
        measurement = measurement_of(name, runs, score)
    except DataError:  # of the task's own making, and no damage
        return refused
    return refused if measurement.problems else measurement


def _is_higher_better(results: Results, task: str, metric: str) -> bool:
    return bool(results.of("higher_is_better", task).get(metric, metric not in LOWER))


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
