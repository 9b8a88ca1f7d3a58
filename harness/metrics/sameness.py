"""A tuned model that answers like its base: an adapter that was merged to nothing, or a memory of the other model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from harness.metrics.noise_floor import LEAD
from harness.models.asked import afresh
from harness.models.base import Completion, Model
from harness.records import Finding, SampleSet
from harness.requests import scored_pairs

LEAST_ANSWERS = 8
"""Fewer equal answers than this may be chance: a light tuning leaves easy questions as they were."""


def same_answers(
    tuned: Mapping[str, Completion], base: Mapping[str, Completion], *, same_weights: bool
) -> list[Finding]:
    """One finding where every answer is the base's, token for token, though the weights are said to differ."""
    equal = sum(completion.ids == base[name].ids for name, completion in tuned.items())
    if same_weights or equal < max(LEAST_ANSWERS, len(tuned)):
        return []
    return [
        Finding(
            what="The tuned model answers exactly as its base does.",
            where=f"all {equal} answers",
            expected="at least one other token somewhere: the files of the two models differ",
            found="the same tokens in every answer",
            remedy="see that the adapter's weights are not all zero, that it was merged into the right base, and that "
            "the checkpoint was saved after training",
        )
    ]


def same_likelihoods(tuned: Model, base: Model, questions: SampleSet, *, chat: bool = False) -> list[Finding]:
    """One finding where every choice is as likely as under the base, to the last bit, though the weights differ.

    Equal scores are nothing to wonder at, and near likelihoods neither: a light tuning leaves both. But each changed
    weight that a text meets changes its last bits. A tuning of some tokens alone shows where they stand, in the chat.
    Answers that earlier runs have kept were perhaps batched in another way, so near ones are computed once more.
    """
    if _weights(tuned) == _weights(base) or len(questions) < LEAST_ANSWERS:
        return []
    equal = _equally_likely(tuned, base, questions, chat)
    in_a_chat = not chat and tuned.template_digest and base.template_digest
    if not equal or (in_a_chat and not _equally_likely(tuned, base, _first(questions), True)):
        return []
    return [
        Finding(
            what="Every choice is exactly as likely as under the base model.",
            where=f"all {equal} choices of {questions.name}",
            expected="another last bit somewhere: the files of the two models differ",
            found="the same likelihoods to the last bit",
            remedy="see that no cache of replies is kept by the question alone, that the adapter is switched on, and "
            "that it was not merged to nothing",
        )
    ]


def _weights(model: Model) -> tuple[str, str]:
    """Digests of checkpoint and adapter; an engine that knows none of its model says nothing about it."""
    digests: Mapping[str, str] = getattr(model, "digests", {})
    return digests.get("weights", ""), digests.get("adapter", "")


def _equally_likely(tuned: Model, base: Model, questions: SampleSet, chat: bool) -> int:
    """How many choices there are if each is equally likely, else 0."""
    pairs = [pair for sample in questions for pair in scored_pairs(sample, chat=chat)]
    of_tuned, of_base = tuned.loglikelihood(pairs), base.loglikelihood(pairs)
    near = LEAD.get(f"torch.{getattr(tuned, 'dtype', '')}", max(LEAD.values()))
    if of_tuned != of_base and all(abs(x.total - y.total) <= near for x, y in zip(of_tuned, of_base, strict=True)):
        of_tuned, of_base = afresh(tuned).loglikelihood(pairs), afresh(base).loglikelihood(pairs)
    return len(pairs) if of_tuned == of_base else 0


def _first(questions: SampleSet) -> SampleSet:
    return replace(questions, samples=questions.samples[:LEAST_ANSWERS])
