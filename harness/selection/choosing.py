"""The best answer to each prompt, if one is good enough, and what choosing it has gained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.records import Sample
from harness.selection.scoring import Scored
from harness.statistics import group_codes, mean_bounds

CONFIDENCE = 0.95
"""Of the interval of a gain, two-sided."""


@dataclass(frozen=True)
class Choice:
    """The answers to one prompt; ``best`` is the number of the one that is kept, from 0, or None."""

    sample: Sample
    answers: tuple[Scored, ...]
    best: int | None

    @property
    def kept(self) -> Scored | None:
        """The answer that is kept."""
        return None if self.best is None else self.answers[self.best]

    @property
    def answerable(self) -> bool:
        """Whether any answer could be kept if its score were high enough."""
        return any(answer.unusable is None for answer in self.answers)


@dataclass(frozen=True)
class Gain:
    """Mean score of first and of kept answers over ``n`` prompts, and the mean difference with its interval.

    The prompts are those where an answer was kept and the first one could have been. ``low`` and ``high`` are None for
    fewer than two groups of prompts.
    """

    n: int
    first: float
    kept: float
    low: float | None
    high: float | None


def choose(sample: Sample, answers: Sequence[Scored], min_score: float | None) -> Choice:
    """The usable answer with the highest score, the first of equals.

    None is kept whose score is 0, since that answer is wrong, or no other answer agrees with it; nor below
    ``min_score``.
    """
    good = [
        place
        for place, answer in enumerate(answers)
        if answer.unusable is None and (answer.score is None or (answer.score > 0 and answer.score >= (min_score or 0)))
    ]
    best = max(good, key=lambda place: (answers[place].score or 0.0, -place), default=None)
    return Choice(sample, tuple(answers), best)


def gain(choices: Sequence[Choice]) -> Gain | None:
    """What choosing has gained over taking first answers; None where nothing was scored."""
    pairs = [
        (choice.sample.cluster, first.score, choice.kept.score)
        for choice in choices
        for first in choice.answers[:1]
        if choice.kept is not None and first.score is not None and choice.kept.score is not None
    ]
    if not pairs:
        return None
    clusters, first_scores, kept_scores = zip(*pairs, strict=True)
    first, kept = np.array(first_scores), np.array(kept_scores)
    bounds = mean_bounds(kept - first, group_codes(clusters), (1 - CONFIDENCE) / 2)
    # What is kept scores at least what the first answer does, so no gain is below 0, whatever t makes of a few prompts.
    low, high = (max(0.0, bounds[0]), bounds[1]) if bounds else (None, None)
    return Gain(len(pairs), float(first.mean()), float(kept.mean()), low, high)
