"""From what the user names to what is measured: sample sets of lm-eval tasks, each with the numbers that are gated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.lm_eval_tasks.finding import TaskFile, TaskFiles, read_task
from harness.lm_eval_tasks.scores import Score, check_config, entries_of, refuse_code, scores_of

COSMETIC = {"group", "group_alias", "task", "task_alias", "aggregate_metric_list", "metadata", "tag"}
"""Keys of a group, or of a member's entry in it, that change nothing in what its tasks ask."""


@dataclass(frozen=True)
class TaskSet:
    """One or several tasks whose samples are measured together, under one name.

    ``shots`` replaces the number of shots that the tasks' own files state. ``notes`` tell a reader what is not gated,
    or is so in another way than lm-eval reports it.
    """

    name: str
    tasks: tuple[TaskFile, ...] = field(compare=False)
    scores: tuple[Score, ...]
    notes: tuple[str, ...] = ()
    shots: int | None = None


def task_sets(names: Sequence[str], include: Path | None = None) -> tuple[TaskSet, ...]:
    """The sets that names, or paths of YAML files, stand for, each perhaps with its number of shots: ``sciq:5``.

    A group of which lm-eval reports a mean (mmlu) is one set: its 57 subjects are one comparison, where 57 comparisons
    would share the significance level. Any other group, or a tag, is a set for each of its tasks.
    Raises UsageError for what cannot be run or gated.
    """
    files = TaskFiles(include)
    found: dict[str, TaskSet] = {}
    for entry in names:
        name, shots = _name_and_shots(entry)
        for each in _sets(name, files, ()):
            if each.name in found:
                raise UsageError(
                    f"--lm-eval-tasks: {each.name!r} is named twice, and its measurements are called so; keep one, or "
                    "rename one."
                )
            found[each.name] = replace(each, shots=shots)
    return tuple(found.values())


def _name_and_shots(entry: str) -> tuple[str, int | None]:
    name, colon, shots = entry.rpartition(":")
    return (name, int(shots)) if colon and shots.isdecimal() and not name.endswith(":") else (entry, None)


def _sets(name: str, files: TaskFiles, above: tuple[str, ...]) -> Iterator[TaskSet]:
    if name in above:
        raise UsageError(f"--lm-eval-tasks: the group {name} is a member of itself, by {above[-1]}; end the circle.")
    named = read_task(Path(name).expanduser()) if name.endswith((".yaml", ".yml")) else files.named(name)
    if isinstance(named, tuple):
        yield from map(_single, named)
    elif not named.is_group:
        yield _single(named)
    else:
        yield from _group(named, files, (*above, name))


def _single(task: TaskFile) -> TaskSet:
    check_config(task.config, str(task.path))
    refuse_code(task.name, task.config)
    scores, left = scores_of(task.config)
    if not scores:
        raise UsageError(
            f"--lm-eval-tasks: nothing of {task.name} can be gated: {'; '.join(left) or 'it declares no metric'}; give "
            "it a metric with the aggregation mean in a YAML of your own that includes this one."
        )
    return TaskSet(task.name, (task,), scores, tuple(f"lm-eval's {each} is not gated" for each in left))


def _group(group: TaskFile, files: TaskFiles, above: tuple[str, ...]) -> Iterator[TaskSet]:
    check_config(group.config, str(group.path))
    members = [each for name in _members(group) for each in _sets(name, files, above)]
    if not members:
        raise UsageError(f"--lm-eval-tasks: the group {group.name} ({group.path}) lists no task; name its tasks in it.")
    means = dict(_means(group.config))
    shared = [score for score in members[0].scores if all(score in each.scores for each in members)]
    scores = tuple(score for score in shared if score.metric in means and score.aggregation == "mean")
    if not scores:
        yield from members
        return
    alike = any(not means[score.metric] for score in scores)
    notes = ("lm-eval weighs the group's tasks alike, here each sample counts alike",) * alike
    yield TaskSet(group.name, tuple(task for each in members for task in each.tasks), scores, notes)


def _members(group: TaskFile) -> Iterator[str]:
    listed = group.config.get("task")
    for member in listed if isinstance(listed, list) else [listed]:
        settings = set(group.config) | (set(member) if isinstance(member, Mapping) else set())
        name = member.get("task") if isinstance(member, Mapping) else member
        if not isinstance(name, str) or settings - COSMETIC:
            raise UsageError(
                f"--lm-eval-tasks: the group {group.name} ({group.path}) gives its tasks settings of their own, which "
                "are not read here; name its tasks themselves."
            )
        yield name


def _means(config: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """The metrics of which a group reports a mean, and whether that is the mean over all its samples."""
    for entry in entries_of(config.get("aggregate_metric_list") or []):
        if entry.get("aggregation", "mean") == "mean":
            yield str(entry["metric"]), bool(entry.get("weight_by_size", True))
