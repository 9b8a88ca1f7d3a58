"""Multiple choice by log-likelihood, equal to lm-eval 0.4.13's output type ``multiple_choice``."""

from __future__ import annotations

import math
from collections.abc import Callable

from harness.errors import DataError
from harness.metrics.measuring import measure, require_one_each, require_samples
from harness.models.base import Model
from harness.records import Measurement, Sample, SampleSet
from harness.requests import scored_pairs


def acc(model: Model, samples: SampleSet, *, chat: bool = False) -> Measurement:
    """Share of samples whose target is the choice with the highest log-likelihood; 0 to 1, higher is better.

    Plain text by default: the context is the prompt, the continuation a space and the choice. With ``chat`` the
    context is the rendered messages and the choice follows the generation prompt directly. Where a sample has an
    ending, its choices are openings, and what is compared is the likelihood of the ending after each.

    Raises:
        DataError: a sample without choices or target.
    """
    return _multiple_choice("acc", model, samples, chat, _unweighed)


def acc_norm(model: Model, samples: SampleSet, *, chat: bool = False) -> Measurement:
    """As ``acc``, with each log-likelihood divided by its choice's length in characters (lm-eval's ``acc_norm``)."""
    return _multiple_choice("acc_norm", model, samples, chat, len)


def _multiple_choice(
    metric: str, model: Model, samples: SampleSet, chat: bool, length: Callable[[str], int]
) -> Measurement:
    totals = choice_likelihoods(metric, model, samples, chat=chat)
    scores, undefined = [], []
    for sample, likelihoods in zip(samples, totals, strict=True):
        weighed = [total / length(choice) for total, choice in zip(likelihoods, sample.choices, strict=True)]
        best = max(range(len(weighed)), key=weighed.__getitem__)  # the first wins a tie, as numpy.argmax has it
        scores.append((float(best in _gold(sample)),))
        if any(map(math.isnan, weighed)):
            undefined.append(sample.id)

    return measure(
        metric,
        samples,
        scores,
        signature=choice_signature(model, chat=chat),
        chance=math.fsum(1 / len(sample.choices) for sample in samples) / len(samples),
        problems=undefined_likelihoods(undefined, len(samples)),
    )


def choice_likelihoods(metric: str, model: Model, samples: SampleSet, *, chat: bool) -> list[list[float]]:
    """The log-likelihood of every choice of each sample, in their order; refuses samples that are no questions."""
    require_samples(metric, samples)
    for sample in samples:
        _require_choices(metric, sample, samples.name)

    pairs = [pair for sample in samples for pair in scored_pairs(sample, chat=chat)]
    replies = model.loglikelihood(pairs)
    require_one_each(metric, len(pairs), len(replies))
    totals = iter(reply.total for reply in replies)
    return [[next(totals) for _ in sample.choices] for sample in samples]


def choice_signature(model: Model, *, chat: bool) -> str:
    """The part of a signature that tells how choices were put to the model."""
    return f"format:chat|delimiter:none|template:{model.template_digest}" if chat else "format:plain|delimiter:space"


def _unweighed(_choice: str) -> int:
    return 1


def _gold(sample: Sample) -> tuple[int, ...]:
    """The right choices; one, unless the sample says that there are several."""
    return sample.right if sample.target is None else (sample.target,)


def _require_choices(metric: str, sample: Sample, name: str) -> None:
    if len(sample.choices) < 2 or not all(sample.choices):
        raise DataError(
            f'{name}: sample {sample.id!r} needs at least two non-empty "choices" for {metric}; '
            f"it has {list(sample.choices)}."
        )
    if not _gold(sample) or not all(0 <= index < len(sample.choices) for index in _gold(sample)):
        raise DataError(
            f"{name}: sample {sample.id!r} has the target {sample.target} for {len(sample.choices)} choices; "
            "give the index or the text of one of them."
        )


def undefined_likelihoods(undefined: list[str], n: int) -> tuple[str, ...]:
    """Why these samples, of ``n``, make a broken run; empty where there are none."""
    if not undefined:
        return ()
    return (
        f"the log-likelihood of {len(undefined)} of {n} samples is not a number (first: {undefined[0]}); "
        "check the weights, or run in float32",
    )
