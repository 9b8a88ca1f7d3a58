"""What a sample asks of a model whose likelihoods are scored, and the digest that names it in baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.records import Messages, Sample
from harness.samples import sample_digest

Pair = tuple[Messages | str, str]
"""A context (plain text, or a conversation that the chat template renders) and what is scored after it."""


def scored_pairs(sample: Sample, *, chat: bool = False) -> list[Pair]:
    """The pairs of one sample, one for each choice, or the one with its ending; none where nothing is scored.

    As lm-eval delimits them: by a space, which a chat template makes needless before a choice, and which an ending
    that opens with one of its own (a line of code) has already.
    """
    delimiter = "" if (chat and sample.choices) or sample.ending[:1].isspace() else " "
    if sample.ending:
        return [(_opened(sample, opening, chat), delimiter + sample.ending) for opening in sample.choices or ("",)]
    context = sample.messages if chat else sample.prompt
    return [(context, delimiter + choice) for choice in sample.choices]


def digest_of(sample: Sample) -> str:
    """The digest of a benchmark's sample, by its plain prompt: whether a template renders it is the signature's."""
    requests = [(str(context), scored) for context, scored in scored_pairs(sample)]
    gold = sample.target if sample.target is not None else list(sample.right or sample.references)
    return request_digest(requests or [(sample.prompt, "")], gold, sample.data)


def request_digest(requests: Sequence[tuple[str, str]], gold: Any, data: Mapping[str, Any] | None = None) -> str:
    """Hash what is scored, as (context, continuation) in lm-eval's ``arguments``, and what is right.

    The gold is the index of the right choice, the list of them where several are, the list of references, or an empty
    list where the continuation itself is the gold. ``data`` is what a rule needs beside the answer.
    """
    content = {"requests": [list(request) for request in requests], "gold": gold, "data": dict(data or {})}
    return sample_digest(content)


def _opened(sample: Sample, opening: str, chat: bool) -> Messages | str:
    if not chat:
        return sample.prompt + opening
    *before, last = sample.messages
    return (*before, {**last, "content": str(last["content"]) + opening})
