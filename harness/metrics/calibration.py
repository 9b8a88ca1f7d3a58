"""Is a model as sure of its choices as it is right? Confidence is the softmax over the choices' log-likelihoods.

The Brier score is a mean over samples, moves with every probability and is least where probabilities are true: it is
what a gate should judge. The expected calibration error is the number that the field prints; it depends on its bins,
and chance alone makes it positive (about 0.055 for a perfectly calibrated model on 300 questions of four choices).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from harness.metrics.choice import choice_likelihoods, choice_signature, undefined_likelihoods
from harness.metrics.measuring import measure
from harness.models.base import Model
from harness.records import Measurement, SampleSet

BINS = 10
"""Of equal width, closed on the right, as Naeini et al. 2015 and Guo et al. 2017 have them (the latter take 15, for
tens of thousands of samples)."""


def brier(model: Model, samples: SampleSet, *, chat: bool = False) -> Measurement:
    """Mean squared distance of the choices' probabilities from 1 for the target and 0 for the others (Brier 1950).

    0 to 2, lower is better; equal probabilities for k choices give 1 - 1/k, which is ``chance``.
    """
    probabilities, undefined = _probabilities("brier", model, samples, chat)
    scores = [
        (math.fsum((p - (place == sample.target)) ** 2 for place, p in enumerate(row)),)
        for sample, row in zip(samples, probabilities, strict=True)
    ]
    return measure(
        "brier",
        samples,
        scores,
        signature=choice_signature(model, chat=chat),
        chance=math.fsum(1 - 1 / len(sample.choices) for sample in samples) / len(samples),
        problems=undefined_likelihoods(undefined, len(samples)),
    )


def ece(model: Model, samples: SampleSet, *, chat: bool = False) -> Measurement:
    """Expected calibration error: mean distance between confidence and accuracy over bins of confidence.

    0 to 1, lower is better. Statistics per sample: right or wrong less confidence, in the column of its bin, and 1.
    """
    probabilities, undefined = _probabilities("ece", model, samples, chat)
    scores = [_in_its_bin(row, sample.target) for sample, row in zip(samples, probabilities, strict=True)]
    return measure(
        "ece",
        samples,
        scores,
        signature=f"level:corpus|bins:{BINS}-equal-width|{choice_signature(model, chat=chat)}",
        aggregate=_expected_error,
        problems=undefined_likelihoods(undefined, len(samples)),
    )


def _probabilities(metric: str, model: Model, samples: SampleSet, chat: bool) -> tuple[list[list[float]], list[str]]:
    """The softmax of each sample's choices, and the ids of the samples that have none."""
    likelihoods = choice_likelihoods(metric, model, samples, chat=chat)
    rows = [_softmax(each) for each in likelihoods]
    return rows, [sample.id for sample, row in zip(samples, rows, strict=True) if any(map(math.isnan, row))]


def _softmax(likelihoods: Sequence[float]) -> list[float]:
    highest = max(likelihoods)
    weights = [math.exp(each - highest) for each in likelihoods]
    return [weight / math.fsum(weights) for weight in weights]


def _in_its_bin(row: Sequence[float], target: int | None) -> tuple[float, ...]:
    confidence = max(row)
    if math.isnan(sum(row)):
        return (math.nan,) * (BINS + 1)
    place = max(0, math.ceil(confidence * BINS) - 1)
    columns = [0.0] * BINS
    columns[place] = float(row.index(confidence) == target) - confidence
    return (*columns, 1.0)


def _expected_error(statistics: np.ndarray) -> float:
    *differences, n = statistics.sum(axis=0).tolist()
    return float(math.fsum(map(abs, differences)) / n)
