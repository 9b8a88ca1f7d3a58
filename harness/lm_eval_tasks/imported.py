"""What of an earlier run becomes measurements: its tasks, or groups of them, and which of their numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.errors import DataError
from harness.lm_eval_tasks.aggregations import RULES
from harness.lm_eval_tasks.measured import measurement_of
from harness.lm_eval_tasks.results import Results
from harness.lm_eval_tasks.scores import AGGREGATIONS, LOWER, Score, scores_of
from harness.lm_eval_tasks.signature import TaskRun
from harness.records import Measurement


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
