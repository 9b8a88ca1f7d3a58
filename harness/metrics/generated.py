"""Benchmarks whose answers are written out: results of GSM8K and SVAMP, instructions of IFEval.

Each metric takes a model and the samples of such a benchmark, with its stop strings and its limit of new tokens, and
returns a measurement whose value is lm-eval's. All metrics of a benchmark share one set of answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.errors import DataError
from harness.metrics.asking import Asking
from harness.metrics.cut_answers import cut_answers
from harness.metrics.extraction import FLEXIBLE, STRICT, Extraction
from harness.metrics.instructions import Instruction, followed_loosely, followed_strictly, instructions_of
from harness.metrics.measuring import measure, ratio, require_samples
from harness.models.base import Completion, Model
from harness.records import Aggregate, Measurement, Sample, SampleSet

LIMIT = 256
"""New tokens of an answer where a benchmark states no limit: lm-eval's default."""

Followed = Callable[[tuple[Instruction, ...], str], tuple[bool, ...]]


def strict_match(
    model: Model, samples: SampleSet, *, chat: bool = False, stop: Sequence[str] = (), max_new_tokens: int = LIMIT
) -> Measurement:
    """Share of answers whose result behind ``####`` is the right one, 0 to 1 (``exact_match,strict-match``)."""
    return _results(STRICT, model, samples, Asking(chat, tuple(stop), max_new_tokens))


def flexible_extract(
    model: Model, samples: SampleSet, *, chat: bool = False, stop: Sequence[str] = (), max_new_tokens: int = LIMIT
) -> Measurement:
    """Share of answers whose last number is the right one, 0 to 1 (``exact_match,flexible-extract``)."""
    return _results(FLEXIBLE, model, samples, Asking(chat, tuple(stop), max_new_tokens))


def _results(extraction: Extraction, model: Model, samples: SampleSet, asking: Asking) -> Measurement:
    metric = f"exact_match,{extraction.name}"
    require_samples(metric, samples)
    for sample in samples:
        if len(sample.references) != 1:
            raise DataError(
                f"{samples.name}: sample {sample.id!r} has {len(sample.references)} references, and {metric} compares "
                "with one; give it the right result."
            )
    answers = asking.answers(model, samples)
    return measure(
        metric,
        samples,
        [(float(extraction.is_right(answers[each.id].text, each.references[0])),) for each in samples],
        signature=asking.signature(model),
        chance=0.0,
        problems=cut_answers(model, samples, asking, answers, has_result=_has_result, is_right=_is_right),
    )


def _has_result(completion: Completion) -> bool:
    return STRICT.found(completion.text) is not None


def _is_right(sample: Sample, completion: Completion) -> bool:
    return STRICT.is_right(completion.text, sample.references[0])


def prompt_level_strict_acc(
    model: Model, samples: SampleSet, *, chat: bool = False, stop: Sequence[str] = (), max_new_tokens: int = LIMIT
) -> Measurement:
    """Share of prompts all of whose instructions are followed, 0 to 1."""
    asking = Asking(chat, tuple(stop), max_new_tokens)
    return _instructions("prompt_level_strict_acc", followed_strictly, model, samples, asking)


def prompt_level_loose_acc(
    model: Model, samples: SampleSet, *, chat: bool = False, stop: Sequence[str] = (), max_new_tokens: int = LIMIT
) -> Measurement:
    """As ``prompt_level_strict_acc``, with what chat models put around an answer forgiven."""
    asking = Asking(chat, tuple(stop), max_new_tokens)
    return _instructions("prompt_level_loose_acc", followed_loosely, model, samples, asking)


def inst_level_strict_acc(
    model: Model, samples: SampleSet, *, chat: bool = False, stop: Sequence[str] = (), max_new_tokens: int = LIMIT
) -> Measurement:
    """Share of all instructions that are followed, 0 to 1; a prompt with three of them counts three times."""
    asking = Asking(chat, tuple(stop), max_new_tokens)
    return _instructions("inst_level_strict_acc", followed_strictly, model, samples, asking, ratio)


def inst_level_loose_acc(
    model: Model, samples: SampleSet, *, chat: bool = False, stop: Sequence[str] = (), max_new_tokens: int = LIMIT
) -> Measurement:
    """As ``inst_level_strict_acc``, with what chat models put around an answer forgiven."""
    asking = Asking(chat, tuple(stop), max_new_tokens)
    return _instructions("inst_level_loose_acc", followed_loosely, model, samples, asking, ratio)


def _instructions(
    metric: str,
    followed: Followed,
    model: Model,
    samples: SampleSet,
    asking: Asking,
    aggregate: Aggregate | None = None,
) -> Measurement:
    require_samples(metric, samples)
    asked = {each.id: instructions_of(each.data, f"{samples.name}: sample {each.id!r}") for each in samples}
    answers = asking.answers(model, samples)
    kept = [followed(asked[each.id], answers[each.id].text) for each in samples]
    return measure(
        metric,
        samples,
        [(float(sum(each)), float(len(each))) if aggregate else (float(all(each)),) for each in kept],
        signature=asking.signature(model),
        aggregate=aggregate,
        problems=cut_answers(model, samples, asking, answers),
    )
