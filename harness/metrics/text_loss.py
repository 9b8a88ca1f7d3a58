"""How well a model predicts running text: bits per byte and perplexity over the prompts of a sample set."""

from __future__ import annotations

import math

import numpy as np

from harness.errors import DataError
from harness.metrics.measuring import measure, ratio, require_one_each, require_samples
from harness.models.base import Model
from harness.records import Measurement, SampleSet


def bits_per_byte(model: Model, samples: SampleSet) -> Measurement:
    """Bits the model needs per UTF-8 byte of text, over all texts together; lower is better.

    sum(-log2 p(token)) / sum(bytes), as lm-eval's ``bits_per_byte``. Comparable between tokenizers, since the unit
    is the text's. Statistics per sample: (bits, bytes).

    Raises:
        DataError: a sample with an empty text.
    """
    losses = _losses("bits_per_byte", model, samples)
    scores = [
        (math.fsum(loss) / math.log(2), float(len(sample.prompt.encode())))
        for sample, loss in zip(samples, losses, strict=True)
    ]
    return measure(
        "bits_per_byte",
        samples,
        scores,
        signature="level:corpus|unit:byte",
        aggregate=ratio,
        problems=_untouched_texts(samples, losses),
    )


def perplexity(model: Model, samples: SampleSet) -> Measurement:
    """exp of the mean negative log probability per token, over all texts together; lower is better.

    The unit is a token of this model's tokenizer: only models with one tokenizer can be compared by it (otherwise
    take ``bits_per_byte``). Statistics per sample: (nats, tokens).

    Raises:
        DataError: a sample with an empty text.
    """
    losses = _losses("perplexity", model, samples)
    return measure(
        "perplexity",
        samples,
        [(math.fsum(loss), float(len(loss))) for loss in losses],
        signature="level:corpus|unit:token",
        aggregate=_exponential_ratio,
        problems=_untouched_texts(samples, losses),
    )


def _losses(metric: str, model: Model, samples: SampleSet) -> list[tuple[float, ...]]:
    """Nats per token of each prompt."""
    require_samples(metric, samples)
    for sample in samples:
        if not sample.prompt:
            raise DataError(f"{samples.name}: sample {sample.id!r} has no text to take {metric} of.")
    losses = model.token_losses([sample.prompt for sample in samples])
    require_one_each(metric, len(samples), len(losses))
    return losses


def _untouched_texts(samples: SampleSet, losses: list[tuple[float, ...]]) -> tuple[str, ...]:
    """A text of which no token was scored would count as predicted perfectly."""
    untouched = [sample.id for sample, loss in zip(samples, losses, strict=True) if not loss]
    if not untouched:
        return ()
    return (f"no token was scored in {len(untouched)} of {len(losses)} texts (first: {untouched[0]})",)


def _exponential_ratio(statistics: np.ndarray) -> float:
    return math.exp(ratio(statistics))
