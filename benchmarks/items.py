"""Items for the engine, drawn from the bundled prose: always the same, and as long as those of the sets they stand for.

Their texts are small stories of who does what and where, with questions that the story answers.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import harness.demo
from harness.records import SampleSet
from harness.samples import sample_of

PROSE: dict[str, Any] = json.loads((Path(harness.demo.__file__).parent / "prose.json").read_text(encoding="utf-8"))

CHOICES = 4
SENTENCES_BEFORE = (0, 0, 0, 1, 1, 2)
"""Of the story before a lone question: 15 to 60 tokens with it, as the questions of ARC are."""
SHOTS, SHOT_SENTENCES = 5, 9
"""Five solved questions on stories of nine sentences are some 650 tokens."""
PASSAGE_SENTENCES, QUESTIONS_A_PASSAGE = 54, 6
"""Some 600 tokens, as a passage of an examination's reading part, with the questions on it."""
MOST_PARAGRAPHS = 9
"""Before a request; with nine of them it has some 400 tokens."""

Event = tuple[str, ...]
"""Who, does, what, where."""
Asked = tuple[str, list[str], int]
"""A question's text, its choices, and which of them is right."""


def zero_shot(count: int) -> SampleSet:
    """Questions of ARC's shape: a sentence or two and four short choices."""
    draw = random.Random(0)
    return _questions("zero-shot", (_lone_question(draw) for _ in range(count)))


def five_shot(count: int) -> SampleSet:
    """Such questions behind five solved ones, which all of them share."""
    draw = random.Random(1)
    shots = "".join(_solved(_question(_story(draw, SHOT_SENTENCES), draw)) for _ in range(SHOTS))
    asked = (_lone_question(draw) for _ in range(count))
    return _questions("five-shot", ((shots + text, choices, target) for text, choices, target in asked))


def passages(count: int) -> SampleSet:
    """Questions on long passages, a few on each."""
    draw = random.Random(2)
    stories = [_story(draw, PASSAGE_SENTENCES) for _ in range(0, count, QUESTIONS_A_PASSAGE)]
    return _questions("passage", (_question(stories[place // QUESTIONS_A_PASSAGE], draw) for place in range(count)))


def requests(count: int) -> SampleSet:
    """Prompts of some 10 to 400 tokens, a few long and many short ones, in no order."""
    draw = random.Random(3)
    lines = []
    for number in range(count):
        held = draw.sample(PROSE["paragraphs"], int(draw.random() ** 2 * (MOST_PARAGRAPHS + 1)))
        prompt = "\n\n".join([*held, f"Go on with this story: {_told(_story(draw, 1))}"])
        lines.append({"id": f"{number:04}", "prompt": prompt})
    return _read("requests", lines)


def _story(draw: random.Random, sentences: int) -> list[Event]:
    return [tuple(draw.choice(words) for words in PROSE["words"]) for _ in range(sentences)]


def _told(story: Iterable[Event]) -> str:
    return " ".join(" ".join(event).capitalize() + "." for event in story)


def _lone_question(draw: random.Random) -> Asked:
    before = draw.choice(SENTENCES_BEFORE)
    text, choices, target = _question(_story(draw, before + 1), draw)
    # Of one sentence the question itself says enough; without it, it asks for a guess, as questions of ARC do.
    return (text if before else "Question: " + text.split("Question: ")[1]), choices, target


def _question(story: Sequence[Event], draw: random.Random) -> Asked:
    """Ask for a part of one event, or for two; the other choices are put together from the same words."""
    event = draw.choice(story)
    who, does, what, where = event
    question, places = draw.choice(
        [
            (f"Who {does} {what} {where}?", [0]),
            (f"What is it that {who} {does} {where}?", [2]),
            (f"Where or when is it that {who} {does} {what}?", [3]),
            (f"What is it that {who} {does}, and where or when?", [2, 3]),
        ]
    )
    right = " ".join(event[place] for place in places)
    possible = (" ".join(words) for words in product(*(PROSE["words"][place] for place in places)))
    choices = draw.sample([right, *draw.sample([each for each in possible if each != right], CHOICES - 1)], CHOICES)
    return f"{_told(story)}\nQuestion: {question}\nAnswer:", choices, choices.index(right)


def _solved(asked: Asked) -> str:
    text, choices, target = asked
    return f"{text} {choices[target]}\n\n"


def _questions(name: str, asked: Iterable[Asked]) -> SampleSet:
    return _read(
        name,
        [
            {"id": f"{number:04}", "prompt": text, "choices": choices, "target": target}
            for number, (text, choices, target) in enumerate(asked)
        ],
    )


def _read(name: str, lines: Iterable[dict[str, Any]]) -> SampleSet:
    return SampleSet(name, tuple(sample_of(line, f"the {name} items of the benchmark") for line in lines))
