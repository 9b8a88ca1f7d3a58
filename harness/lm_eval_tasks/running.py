"""lm-eval runs its own tasks, with its own engine, on a model that this package has loaded."""

from __future__ import annotations

import copy
import io
import logging
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from typing import Any

from harness.errors import InvalidRunError, NetworkError, UsageError
from harness.lm_eval_tasks.finding import TaskFile
from harness.lm_eval_tasks.kept import KeptEngine
from harness.lm_eval_tasks.logged import by_filter, logged
from harness.lm_eval_tasks.sets import TaskSet
from harness.lm_eval_tasks.signature import TaskRun, template_name
from harness.models.files import first_line
from harness.models.local import LocalModel

SEED, SHOTS_SEED = 0, 1234
"""lm-eval's own defaults, so that the same shots are drawn."""

TYPICAL_TOKENS, LEAST_ROWS = 256, 8
"""What a row is taken to have where a budget of tokens has to be told to lm-eval in rows; the fewest rows it gets."""


@dataclass(frozen=True)
class Asked:
    """How the tasks of a set are asked: all samples, or ``limit`` of them chosen by ``seed``; through the template."""

    limit: int | None = None
    seed: int = 0
    chat: bool = False


def run_set(tasks: Sequence[tuple[TaskFile, Any]], model: LocalModel, asked: Asked) -> tuple[TaskRun, ...]:
    """What lm-eval says of each task of a set that ``load_tasks`` has loaded.

    Raises InvalidRunError where lm-eval breaks off, UsageError where the model has no template to ask through.
    """
    if asked.chat and not model.tokenizer.chat_template:
        raise UsageError(
            f"{model.name} has no chat template to ask lm-eval's tasks through; leave --apply-chat-template."
        )
    chosen = _chosen([len(task.eval_docs) for _, task in tasks], asked)
    wanted = [(file, task, ids) for (file, task), ids in zip(tasks, chosen, strict=True)]
    with _quiet(), _seeded():
        engine = KeptEngine(_engine(model), model.kept)
        return tuple(
            _run(engine, file, task, ids, asked) for file, task, ids in model.track(wanted, f"lm-eval, {model.name}")
        )


def load_tasks(tasks: TaskSet, *, offline: bool) -> list[tuple[TaskFile, Any]]:
    """lm-eval's objects of a set's tasks, their data loaded; raises UsageError where lm-eval cannot make one."""
    from lm_eval.tasks import TaskManager

    with _quiet(), _seeded(), _without_code_from_the_hub():
        # Each file is named by its path, which spares the index of all 14,000 of them.
        manager = TaskManager(include_defaults=False)
        return [(file, _with_shots(_loaded(manager, file, offline), tasks)) for file in tasks.tasks]


def _loaded(manager: Any, file: TaskFile, offline: bool) -> Any:
    try:
        (task,) = manager.load([str(file.path)])["tasks"].values()
    except ConnectionError as error:
        remedy = "it is not in the local cache: run once without --offline" if offline else "check the network"
        raise NetworkError(f"the data of {file.name} cannot be had ({first_line(error)}); {remedy}.") from None
    except Exception as error:  # a task is YAML, templates and code of whoever wrote it: anything may go wrong in it
        raise UsageError(
            f"{file.path}: lm-eval cannot prepare {file.name} ({type(error).__name__}: {first_line(error)}); see "
            f"whether `lm-eval run --tasks {file.path} --limit 1` can."
        ) from error
    return task


def _with_shots(task: Any, tasks: TaskSet) -> Any:
    """Set the number of shots as ``lm-eval run --num_fewshot`` does, which leaves a task alone that states none."""
    stated = task.get_config("num_fewshot")
    if tasks.shots and stated == 0:
        raise UsageError(
            f"--lm-eval-tasks {tasks.name}:{tasks.shots}: {task.task_name} is asked without shots, as its own file "
            "says, and lm-eval does not change that; leave the number away."
        )
    task.set_config("num_fewshot", (stated or 0) if tasks.shots is None else tasks.shots)
    return task


def _run(engine: Any, file: TaskFile, task: Any, ids: list[int] | None, asked: Asked) -> TaskRun:
    """One task's part of a run; without samples where the subset has none of it, but with its settings."""
    found, reported = ([], {}) if ids == [] else _evaluated(engine, file, task, ids, asked)
    lines = [logged(line, f"{file.name} in this run") for line in found]
    return TaskRun(
        task=file.name,
        config=file.config,
        version=str(task.VERSION),
        shots=int(task.get_config("num_fewshot")),
        template=template_name(engine.chat_template(True)) if asked.chat else "",
        samples=by_filter(lines, (), file.name),
        reported=_numbers(reported),
        limited=ids is not None,
    )


def _evaluated(
    engine: Any, file: TaskFile, task: Any, ids: list[int] | None, asked: Asked
) -> tuple[Sequence[Mapping[str, Any]], Mapping[str, Any]]:
    """What lm-eval logs of each sample, and the values that it reports."""
    from lm_eval.evaluator import evaluate

    name = task.task_name
    # Whichever model comes first, the next one is shown the same shots.
    task.set_fewshot_seed(SHOTS_SEED)
    try:
        found = evaluate(
            engine,
            {"tasks": {name: task}},
            samples=None if ids is None else {name: ids},
            bootstrap_iters=0,
            apply_chat_template=asked.chat,
            fewshot_as_multiturn=True,
        )
    except Exception as error:  # as in _loaded
        raise InvalidRunError(
            f"{name}: lm-eval broke off ({type(error).__name__}: {first_line(error)}), so there is no number to judge; "
            f"see whether `lm-eval run --tasks {file.path}` runs with this model."
        ) from error
    return found["samples"][name], found["results"][name]


def _numbers(results: Mapping[str, Any]) -> dict[str, float]:
    return {key: float(value) for key, value in results.items() if "," in key and not isinstance(value, str)}


def _engine(model: LocalModel) -> Any:
    """lm-eval's engine around the loaded model; its tokenizer is a copy, since lm-eval chooses a pad token."""
    from lm_eval.models.huggingface import HFLM

    engine = HFLM(
        pretrained=model.module,
        tokenizer=copy.deepcopy(model.tokenizer),
        batch_size=model.budget.rows or max(LEAST_ROWS, model.budget.tokens // TYPICAL_TOKENS),
    )
    engine._max_length = engine.max_length - model.weights.virtual_tokens
    return engine


def _chosen(sizes: Sequence[int], asked: Asked) -> list[list[int] | None]:
    """The doc_ids to ask of each task; None for all. The subset is that of ``harness.samples.subset``."""
    if asked.limit is None or asked.limit >= sum(sizes):
        return [None] * len(sizes)
    drawn = sorted(random.Random(asked.seed).sample(range(sum(sizes)), asked.limit))
    starts = [sum(sizes[:number]) for number in range(len(sizes))]
    return [
        [number - start for number in drawn if start <= number < start + size]
        for start, size in zip(starts, sizes, strict=True)
    ]


@contextmanager
def _without_code_from_the_hub() -> Iterator[None]:
    """Keep lm-eval from fetching metrics as code when it makes a task; those that would be called were refused."""
    import lm_eval.api.metrics  # noqa: F401 - fills the registry
    from lm_eval.api import registry, task

    fetching = task.get_metric

    def registered(name: str, hf_evaluate_metric: bool = False) -> Any:
        return None if hf_evaluate_metric or name not in registry.metric_registry else fetching(name)

    task.get_metric = registered
    try:
        yield
    finally:
        task.get_metric = fetching


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep lm-eval's bars and remarks from the report: it has several of each for every task."""
    from harness.training.data import without_bars

    logger = logging.getLogger("lm_eval")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with without_bars(), redirect_stderr(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)


@contextmanager
def _seeded() -> Iterator[None]:
    """lm-eval's seeds for as long as it runs; what comes after it draws as if it had not run."""
    import numpy as np
    import torch

    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(SEED)
    np.random.seed(SHOTS_SEED)
    torch.manual_seed(SHOTS_SEED)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
