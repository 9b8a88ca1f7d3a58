"""How well a model foresees the one right continuation, equal to lm-eval's output type ``loglikelihood``."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from harness.errors import DataError
from harness.metrics.choice import undefined_likelihoods
from harness.metrics.measuring import measure, ratio, require_one_each, require_samples
from harness.models.base import LogLikelihood, Model
from harness.records import Measurement, Sample, SampleSet
from harness.requests import scored_pairs


def foreseen(model: Model, samples: SampleSet, *, chat: bool = False) -> Measurement:
    """Share of samples whose ending is, token by token, the model's most likely one; its name is ``acc``.

    Raises:
        DataError: a sample without an ending.
    """
    return _measured("acc", _foreseen, model, samples, chat, chance=0.0)


def ending_perplexity(model: Model, samples: SampleSet, *, chat: bool = False) -> Measurement:
    """exp of the mean negative log-likelihood of an ending, whole endings being the unit; its name is ``perplexity``.

    Raises:
        DataError: a sample without an ending.
    """
    return _measured("perplexity", _total, model, samples, chat, "level:corpus|unit:ending|", aggregate=_perplexity)


def ending_bits_per_byte(model: Model, samples: SampleSet, *, chat: bool = False) -> Measurement:
    """Bits that the model needs per UTF-8 byte of the endings, over all of them; its name is ``bits_per_byte``.

    Raises:
        DataError: a sample without an ending.
    """
    return _measured("bits_per_byte", _bits_and_bytes, model, samples, chat, "level:corpus|unit:byte|", aggregate=ratio)


def _measured(
    metric: str,
    score: Callable[[Sample, LogLikelihood], tuple[float, ...]],
    model: Model,
    samples: SampleSet,
    chat: bool,
    level: str = "",
    **how: Any,
) -> Measurement:
    replies = _endings(metric, model, samples, chat)
    return measure(
        metric,
        samples,
        [score(sample, reply) for sample, reply in zip(samples, replies, strict=True)],
        signature=level + _signature(model, chat),
        problems=_undefined(replies, samples),
        **how,
    )


def _foreseen(_sample: Sample, reply: LogLikelihood) -> tuple[float, ...]:
    return (float(reply.greedy),)


def _total(_sample: Sample, reply: LogLikelihood) -> tuple[float, ...]:
    return (reply.total,)


def _bits_and_bytes(sample: Sample, reply: LogLikelihood) -> tuple[float, ...]:
    return -reply.total / math.log(2), float(len(sample.ending.encode()))


def _endings(metric: str, model: Model, samples: SampleSet, chat: bool) -> list[LogLikelihood]:
    require_samples(metric, samples)
    for sample in samples:
        if not sample.ending or sample.choices:
            raise DataError(f"{samples.name}: sample {sample.id!r} has no ending of its own to take {metric} of.")
    pairs = [pair for sample in samples for pair in scored_pairs(sample, chat=chat)]
    replies = model.loglikelihood(pairs)
    require_one_each(metric, len(pairs), len(replies))
    return replies


def _signature(model: Model, chat: bool) -> str:
    template = f"format:chat|template:{model.template_digest}" if chat else "format:plain"
    return f"scoring:continuation|{template}|delimiter:space"


def _undefined(replies: list[LogLikelihood], samples: SampleSet) -> tuple[str, ...]:
    """The greedy flag of a likelihood that is no number would count as a wrong answer."""
    undefined = [sample.id for sample, reply in zip(samples, replies, strict=True) if math.isnan(reply.total)]
    return undefined_likelihoods(undefined, len(samples))


def _perplexity(statistics: np.ndarray) -> float:
    return math.exp(-float(statistics[:, 0].mean()))
