"""From what lm-eval says of tasks, run now or read from its files, to measurements that the gate takes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from harness.errors import DataError, InvalidRunError
from harness.lm_eval_tasks.aggregations import RULES, Rule
from harness.lm_eval_tasks.content import content_of, known_benchmark
from harness.lm_eval_tasks.logged import Logged
from harness.lm_eval_tasks.scores import Score
from harness.lm_eval_tasks.signature import TaskRun, settings_of, signature_of
from harness.metrics.measuring import measure
from harness.records import Measurement, Sample, SampleSet
from harness.statistics import value_of

GUESSED = ("acc", "acc_norm", "acc_bytes", "acc_mutual_info", "exact_match")
"""Metrics of which it is known what guessing reaches."""


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
    for run in [run for run in runs if run.samples]:
        lines = [line for line in run.samples.get(score.filter, {}).values() if score.metric in line.values]
        if not lines:
            raise InvalidRunError(f"{name}: lm-eval gave no {score.label} of {run.task}, though the task declares it.")
        benchmark = known_benchmark(run.task)
        scored = [_numbers(line, score, rule) for line in lines]
        problems += _differs(run, score, rule, scored)
        rows += scored
        for line in lines:
            content = content_of(run.output, benchmark, line)
            samples.append(Sample(_sample_id(name, run.task, line.doc_id), "", (), content.digest))
            chances.append(content.chance if score.metric in GUESSED else None)
    found = measure(
        score.label,
        SampleSet(name, tuple(samples), limited=any(run.limited for run in runs), settings=settings_of(runs)),
        rows,
        signature=signature_of(runs, score),
        aggregate=rule.aggregate,
        chance=_mean(chances),
        problems=tuple(problems),
    )
    return replace(found, higher_is_better=score.higher_is_better)


def _sample_id(name: str, task: str, doc_id: int) -> str:
    """The id that a benchmark's sample has: its place in the split, after the subject where a set has several."""
    return f"{doc_id:04}" if task == name else f"{task.removeprefix(f'{name}_')}-{doc_id:04}"


def _numbers(line: Logged, score: Score, rule: Rule) -> tuple[float, ...]:
    value = line.values[score.metric]
    try:
        return rule.numbers(value)
    except (LookupError, TypeError, ValueError):
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


def _mean(chances: Sequence[float | None]) -> float | None:
    known = [chance for chance in chances if chance is not None]
    return math.fsum(known) / len(known) if len(known) == len(chances) else None
