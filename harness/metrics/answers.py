"""Greedy answers to a sample set, and whether they say anything about the model at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from harness.metrics.measuring import require_one_each
from harness.models.base import Completion, Model
from harness.records import Sample, SampleSet

ANSWER_LIMIT = 128
LONGEST_LIMIT = 1024
BYTES_PER_TOKEN = 2
"""A low guess, so that the limit is rather too high: English has 3 to 4, Chinese under a small vocabulary about 2."""


def answer_limit(references: Sequence[str]) -> int:
    """New tokens that an answer may take: 128, doubled (to 1024 at most) until the shortest reference surely fits.

    It depends on the sample alone, so every metric, every subset and every model asks for the same answers.
    """
    wanted = min((len(reference.encode()) for reference in references), default=0) // BYTES_PER_TOKEN
    limit = ANSWER_LIMIT
    while limit < min(wanted, LONGEST_LIMIT):
        limit *= 2
    return limit


def greedy_answers(model: Model, samples: SampleSet, *, max_new_tokens: int | None = None) -> dict[str, Completion]:
    """The greedy completion of each sample's messages, by sample id; the limit is ``answer_limit`` unless given."""
    by_limit: dict[int, list[Sample]] = {}
    for sample in samples:
        by_limit.setdefault(max_new_tokens or answer_limit(sample.references), []).append(sample)
    answers: dict[str, Completion] = {}
    for limit, group in sorted(by_limit.items()):
        completions = model.generate([sample.messages for sample in group], max_new_tokens=limit)
        require_one_each(f"{samples.name} answers", len(group), len(completions))
        answers.update((sample.id, completion) for sample, completion in zip(group, completions, strict=True))
    return answers


def answer_signature(model: Model, max_new_tokens: int | None) -> str:
    """The part of a signature that tells how the answers were made."""
    limit = max_new_tokens or f"{ANSWER_LIMIT}-{LONGEST_LIMIT}-by-reference"
    return f"answers:greedy|limit:{limit}|template:{model.template_digest}"


def answer_problems(model: Model, samples: SampleSet, answers: Mapping[str, Completion]) -> tuple[str, ...]:
    """Why these answers are a broken run and not a weak model; empty where they can be judged.

    An answer that was cut off counts only where no reference would have fitted either: a model that rambles past a
    short reference has earned its low score.
    """
    problems = _cut_short(model, samples, answers) + mostly_empty(samples, answers)
    return (*problems, how_they_ended(answers)) if problems else ()


def how_they_ended(answers: Mapping[str, Completion]) -> str:
    """How many answers ended in which way, for whoever looks for what cut or emptied them."""
    ended = Counter(answer.finish for answer in answers.values())
    return "answers ended by: " + ", ".join(f"{how} {count}" for how, count in sorted(ended.items()))


def _cut_short(model: Model, samples: SampleSet, answers: Mapping[str, Completion]) -> tuple[str, ...]:
    # No token is shorter than a byte, so only references of more bytes than the limit need counting by the model.
    suspects = [
        sample
        for sample in samples
        if answers[sample.id].finish == "length"
        and all(len(reference.encode()) >= len(answers[sample.id].ids) for reference in sample.references)
    ]
    cut = [sample for sample in suspects if _shortest_reference(model, sample) >= len(answers[sample.id].ids)]
    if not cut:
        return ()
    limits = sorted({len(answers[sample.id].ids) for sample in cut})
    return (
        f"{len(cut)} of {len(samples)} answers were cut off at {limits[-1]} tokens where their references are longer "
        f"(first: {cut[0].id}); raise max_new_tokens or give shorter references",
    )


def _shortest_reference(model: Model, sample: Sample) -> int:
    """Tokens of the shortest reference, in the place of the answer."""
    replies = model.loglikelihood([(sample.messages, reference) for reference in sample.references])
    return min(reply.tokens for reply in replies)


def mostly_empty(samples: SampleSet, answers: Mapping[str, Completion]) -> tuple[str, ...]:
    """Why answers that are empty in more than half of the cases say nothing about the model; empty where they do.

    What a stop string left of an answer is another question, which ``cut_answers`` decides.
    """
    owed = [sample for sample in samples if all(reference.strip() for reference in sample.references)]
    given = [(sample, answers[sample.id]) for sample in owed]
    empty = [sample for sample, answer in given if not answer.text.strip() and answer.finish != "stop"]
    if 2 * len(empty) <= len(owed):
        return ()
    return (
        f"{len(empty)} of {len(owed)} answers are empty (first: {empty[0].id}); "
        "look at the rendered prompt: it may already end with the terminator",
    )
