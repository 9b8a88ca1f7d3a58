"""Multiple choice with several right answers, equal to lm-eval's ``truthfulqa_mc2``."""

from __future__ import annotations

import math

import numpy as np

from harness.errors import DataError
from harness.metrics.choice import choice_likelihoods, choice_signature, undefined_likelihoods
from harness.metrics.measuring import measure
from harness.models.base import Model
from harness.records import Measurement, SampleSet

LEAST = -700.0
"""exp of less is 0 in double precision; where even the likeliest choice is below, all are moved up together."""


def mass(model: Model, samples: SampleSet, *, chat: bool = False) -> Measurement:
    """Mean share of the choices' probability that lies on the right ones; 0 to 1, higher is better.

    Its name is ``acc``, as the task's that it is known from; ``scoring:mass`` in the signature tells it apart.

    Raises:
        DataError: a sample that does not say which of its choices are right.
    """
    for sample in samples:
        if not sample.right:
            raise DataError(
                f"{samples.name}: sample {sample.id!r} has no list of right choices, which mass is taken of."
            )
    likelihoods = choice_likelihoods("acc", model, samples, chat=chat)
    scores = [(_on_the_right(row, sample.right),) for row, sample in zip(likelihoods, samples, strict=True)]
    undefined = [sample.id for sample, (score,) in zip(samples, scores, strict=True) if math.isnan(score)]
    return measure(
        "acc",
        samples,
        scores,
        signature=f"scoring:mass|{choice_signature(model, chat=chat)}",
        chance=math.fsum(len(sample.right) / len(sample.choices) for sample in samples) / len(samples),
        problems=undefined_likelihoods(undefined, len(samples)),
    )


def _on_the_right(likelihoods: list[float], right: tuple[int, ...]) -> float:
    totals = np.array(likelihoods)
    if totals.max() < LEAST:
        totals = totals - totals.max()
    probabilities = np.exp(totals)
    return float((probabilities / probabilities.sum())[list(right)].sum())
