"""From what lm-eval says of tasks, run now or read from its files, to measurements that the gate takes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from harness.errors import DataError, InvalidRunError
from harness.lm_eval_tasks.aggregations import RULES, Rule
from harness.lm_eval_tasks.content import content_of
from harness.lm_eval_tasks.logged import Logged
from harness.lm_eval_tasks.scores import Score
from harness.metrics.measuring import measure
from harness.provenance import object_digest
from harness.records import Measurement, Sample, SampleSet
from harness.statistics import value_of

PICKED = ("acc", "acc_norm", "acc_bytes", "acc_mutual_info")
"""Metrics that guessing among the choices reaches a known value of."""


@dataclass(frozen=True)
class TaskRun:
    """What one run of lm-eval says of one task.

    ``samples`` are by filter and doc_id; ``reported`` has lm-eval's own values by ``metric,filter``. ``template`` names
    the chat template, empty for plain text. ``limited`` tells that not all of the task's samples were asked.
    """

    task: str
    config: Mapping[str, Any]
    version: str
    shots: int
    template: str
    samples: Mapping[str, Mapping[int, Logged]]
    reported: Mapping[str, Any]
    limited: bool

    @property
    def output(self) -> str:
        """What is asked of the model."""
        return str(self.config.get("output_type", "generate_until"))


def measurement_of(name: str, runs: Sequence[TaskRun], score: Score) -> Measurement:
    """The measurement ``<set>/<score>`` over the samples of its tasks.

    Raises InvalidRunError where lm-eval gave no such score, DataError where a logged score is none of its kind. Where
    the scores do not add up to the value that lm-eval itself reports, the measurement says so as a problem.
    """
    rule = RULES[score.aggregation]
    samples: list[Sample] = []
    rows: list[tuple[float, ...]] = []
    chances: list[float | None] = []
    problems: list[str] = []
    for run in runs:
        lines = [line for line in run.samples.get(score.filter, {}).values() if score.metric in line.values]
        if not lines:
            raise InvalidRunError(f"{name}: lm-eval gave no {score.label} of {run.task}, though the task declares it.")
        scored = [_numbers(line, score, rule) for line in lines]
        problems += _differs(run, score, rule, scored)
        rows += scored
        for line in lines:
            content = content_of(run.config, line)
            number = sample_id(line.doc_id)
            identity = number if run.task == name else f"{run.task}-{number}"
            samples.append(Sample(identity, content.prompt, (), content.digest))
            chances.append(content.chance if score.metric in PICKED else None)
    found = measure(
        score.metric,
        SampleSet(name, tuple(samples), limited=any(run.limited for run in runs)),
        rows,
        signature=_signature(runs, score),
        aggregate=rule.aggregate,
        chance=_mean(chances),
        problems=tuple(problems),
    )
    return replace(found, name=f"{name}/{score.label}", higher_is_better=score.higher_is_better)


def sample_id(doc_id: int) -> str:
    """lm-eval's number of a sample, in digits that sort."""
    return f"{doc_id:05}"


def template_name(text: str | None) -> str:
    """A short name of a chat template by its text, which is what lm-eval keeps of it; empty for plain text."""
    return object_digest(text)[:12] if text else ""


def _numbers(line: Logged, score: Score, rule: Rule) -> tuple[float, ...]:
    value = line.values[score.metric]
    try:
        return rule.numbers(value)
    except (TypeError, ValueError):
        raise DataError(
            f"{line.where}: {score.metric} of sample {line.doc_id} is {str(value)[:60]!r}, which is no score that "
            f"{score.aggregation} is made of."
        ) from None


def _differs(run: TaskRun, score: Score, rule: Rule, rows: Sequence[tuple[float, ...]]) -> Iterator[str]:
    """A problem where lm-eval's own value is another than that of its samples: a rule that is not ours, a lost line."""
    reported = run.reported.get(score.key)
    value = value_of(np.array(rows, dtype=np.float64), rule.aggregate)
    same = isinstance(reported, int | float) and math.isclose(value, reported, rel_tol=1e-6, abs_tol=1e-9)
    if not same and not math.isnan(value):
        yield f"lm-eval reports {score.label} {reported} of {run.task}, but its {len(rows)} samples give {value:.6g}"


def _signature(runs: Sequence[TaskRun], score: Score) -> str:
    """What makes the number comparable; of a set's tasks, all that they differ in is in their samples' digests."""
    first = runs[0]
    generation = {line.generation for run in runs for line in run.samples[score.filter].values()} - {""}
    fields = {
        "engine": "lm-eval",
        "filter": "" if score.filter == "none" else score.filter,
        "format": "chat" if first.template else "plain",
        "generation": ",".join(sorted(generation)),
        "shots": ",".join(sorted({str(run.shots) for run in runs})),
        "task": ",".join(sorted({run.version for run in runs})),
        "template": first.template,
    }
    return "|".join(f"{key}:{value}" for key, value in fields.items() if value)


def _mean(chances: Sequence[float | None]) -> float | None:
    known = [chance for chance in chances if chance is not None]
    return math.fsum(known) / len(known) if len(known) == len(chances) else None
