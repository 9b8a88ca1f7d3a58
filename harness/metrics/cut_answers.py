"""Answers that say nothing about the model because they were cut: by the limit, or by a stop string.

Nothing is held against a model for running into the limit, or into a stop string, without a result: a weak one does so
all the time, and has earned its score. So a few of such answers are asked for once more, with more room, or without the
stop strings. Only where they then have what they lacked was it the cut that cost it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from harness.metrics.answers import how_they_ended, mostly_empty
from harness.metrics.asking import Asking
from harness.metrics.stopping import ends_in_a_loop
from harness.models.base import Completion, Model
from harness.records import Messages, Sample, SampleSet

ASKED_AGAIN = 24
"""At most so many, and at most a quarter of the samples, so that asking again takes no longer than asking did."""

LEAST_AGAIN = 3

ROOM = 1024
"""New tokens that are enough for any answer of these benchmarks; a limit from here on is not doubted."""

LEAST_SHARE = 0.01
"""Half of what the gate takes for a difference between two models: with less, the score is what it would be anyway."""

BY_CHANCE, ALPHA = 0.05, 0.01
"""Without its stop string an answer goes on to other questions, whose results are small numbers, too: about so often
one of them is the right one. More right ones are a sign of a cut where that would be as rare as this."""

HasResult = Callable[[Completion], bool]
IsRight = Callable[[Sample, Completion], bool]


def has_ended(completion: Completion) -> bool:
    """Whether the model itself ended the answer."""
    return completion.finish == "terminator"


def cut_answers(
    model: Model,
    samples: SampleSet,
    asking: Asking,
    answers: Mapping[str, Completion],
    *,
    has_result: HasResult = has_ended,
    is_right: IsRight | None = None,
) -> tuple[str, ...]:
    """Why the answers are a broken run and not a weak model, with how they ended; empty where they can be judged.

    ``has_result`` tells an answer that is complete, ``is_right`` one whose result is the right one.
    """
    open_ended = [sample for sample in samples if not has_result(answers[sample.id])]
    at_limit = [s for s in open_ended if answers[s.id].finish == "length" and not ends_in_a_loop(answers[s.id])]
    at_stop = [s for s in open_ended if answers[s.id].finish == "stop"]
    problems = (
        *mostly_empty(samples, answers),
        *_cut_by_limit(model, at_limit, asking, has_result, len(samples)),
        *(_cut_by_stop(model, at_stop, asking, is_right, len(samples)) if is_right else ()),
    )
    return (*problems, how_they_ended(answers)) if problems else ()


def _cut_by_limit(
    model: Model, cut: Sequence[Sample], asking: Asking, has_result: HasResult, n: int
) -> tuple[str, ...]:
    if not cut:
        return ()
    again = _spread(cut, n)
    room = min(ROOM, *(_room(model, sample.messages if asking.chat else sample.prompt) for sample in again))
    if room <= asking.max_new_tokens:
        return ()
    longer = replace(asking, max_new_tokens=room).answers(model, again)
    complete = [s.id for s in again if has_result(longer[s.id]) or has_ended(longer[s.id])]
    if 2 * len(complete) <= len(again) or not _matters(len(cut), len(complete), len(again), n):
        return ()
    return (
        f"{len(cut)} of {n} answers were cut off at {asking.max_new_tokens} tokens without a result, and "
        f"{len(complete)} of {len(again)} that were asked again come to their end within {room} (first: "
        f"{complete[0]}); give a higher --max-new-tokens",
    )


def _cut_by_stop(model: Model, cut: Sequence[Sample], asking: Asking, is_right: IsRight, n: int) -> tuple[str, ...]:
    from scipy.stats import binomtest

    if not cut:
        return ()
    again = _spread(cut, n)
    free = replace(asking, stop=()).answers(model, again)
    right = [sample.id for sample in again if is_right(sample, free[sample.id])]
    chance = binomtest(len(right), len(again), BY_CHANCE, alternative="greater").pvalue
    if chance > ALPHA or not _matters(len(cut), len(right), len(again), n):
        return ()
    return (
        f"{len(cut)} of {n} answers were ended by a stop string before they had a result, and {len(right)} of "
        f"{len(again)} that were asked again without {', '.join(map(repr, asking.stop))} are right (first: "
        f"{right[0]}); leave out the stop string that occurs in answers",
    )


def _spread(cut: Sequence[Sample], n: int) -> list[Sample]:
    """Some of those that were cut, evenly spaced."""
    most = min(ASKED_AGAIN, max(LEAST_AGAIN, n // 4))
    return list(cut[:: max(1, -(-len(cut) // most))])


def _room(model: Model, prompt: Messages | str) -> int:
    """An engine that knows its positions says how many are left; any other is asked for ``ROOM``."""
    room: Callable[[Messages | str], int] = getattr(model, "room", lambda _: ROOM)
    return room(prompt)


def _matters(cut: int, mended: int, asked: int, n: int) -> bool:
    return cut * mended / asked > LEAST_SHARE * n
