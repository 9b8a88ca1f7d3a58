"""What of an evaluation sample could be learned by heart: the words of its question, and those of its answer."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from harness.dataset.words import words
from harness.records import Sample, SampleSet

LONG_RUN, SHORT_RUN = 13, 8
"""Words in a run that is compared: 13 as in the GPT-3 report (arXiv:2005.14165, appendix C), 8 where the question has
fewer than two such runs; a question of fewer than 8 words is compared as a whole."""

_LABEL_BEFORE, _LABEL_BEHIND = re.compile(r"\A\s*[^\W\d_]+\s*[:：]"), re.compile(r"[^\W\d_]+\s*[:：]\s*\Z")
"""A label such as ``Question:`` that opens a prompt, or ``Answer:`` that ends it; neither is part of the question."""


@dataclass(frozen=True)
class Asked:
    """A sample that has a right answer: its question without the choices, its right answers, and its choices."""

    sample: Sample
    of: str
    question: tuple[str, ...]
    golds: tuple[tuple[str, ...], ...]
    choices: tuple[tuple[str, ...], ...]

    @property
    def run(self) -> int:
        """How many words of the question are compared at a time."""
        count = len(self.question)
        if count >= 2 * LONG_RUN:
            return LONG_RUN
        return min(count, SHORT_RUN)

    @property
    def is_short(self) -> bool:
        """Whether the question is so short that another text may hold it by chance."""
        return len(self.question) < SHORT_RUN


def asked(sets: Iterable[SampleSet]) -> list[Asked]:
    """The samples that have a right answer and words to compare; what is only asked for its end cannot be leaked."""
    found = (_asked(sample, samples.name) for samples in sets for sample in samples)
    return [item for item in found if item.question and item.golds]


def _asked(sample: Sample, name: str) -> Asked:
    opening, choices = _opening(sample), () if sample.ending else sample.choices
    offered = tuple(filter(None, map(words, choices)))
    spoken = "\n".join(str(m["content"]) for m in sample.messages if m["role"] != "system")
    question = _without(words(_unlabelled(spoken + opening)), offered)
    return Asked(sample, name, question, tuple(filter(None, map(words, _golds(sample)))), offered)


def _opening(sample: Sample) -> str:
    """Where choices are openings of one ending, the right one belongs to what is asked."""
    return sample.choices[sample.target] if sample.ending and sample.target is not None else ""


def _golds(sample: Sample) -> list[str]:
    if sample.ending:
        return [sample.ending]
    if sample.choices:
        right = sample.right if sample.target is None else (sample.target,)
        return [sample.choices[index] for index in right]
    return list(sample.references)


def _unlabelled(prompt: str) -> str:
    bare = _LABEL_BEHIND.sub("", _LABEL_BEFORE.sub("", prompt))
    return bare if bare.strip() else prompt


def _without(question: tuple[str, ...], choices: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """The question without choices that are written out in it, whatever their order and their letters."""
    places = [find(question, choice) for choice in choices]
    if not places or min(places) < 0:
        return question
    end = min(places)
    if end and len(question[end - 1]) == 1:  # the letter or number of the first choice
        end -= 1
    return question[:end] or question


def find(text: tuple[str, ...], part: tuple[str, ...]) -> int:
    """Where a run of words begins in a text, -1 where it does not."""
    if not part:
        return -1
    starts = (at for at, word in enumerate(text[: len(text) - len(part) + 1]) if word == part[0])
    return next((at for at in starts if text[at : at + len(part)] == part), -1)


def sizes(items: Iterable[Asked]) -> Counter[str]:
    """How many comparable samples each set has."""
    return Counter(item.of for item in items)
