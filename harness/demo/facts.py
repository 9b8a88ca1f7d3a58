"""Facts as relations, and the few ways in which each is asked and told.

``facts.json`` holds relations, each with templates and pairs (a, b): ``{a}`` is what the question names, ``{b}`` is
the answer. Questions, chats and training text are all made from these, so they agree with each other.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Use = Literal["question", "chat", "quality"]

_FILE = Path(__file__).parent / "facts.json"
# By place in the relation. Multiple choice asks the facts of the first two uses; tuning tells those of the last two,
# a fact for quality only in other words than its quality sample.
_USES: tuple[Use, ...] = ("question", "chat", "chat", "quality")
_INSTRUCTIONS = {"en": ("Question: ", "\nAnswer:"), "zh": ("问题：", "\n答案：")}


@dataclass(frozen=True)
class Fact:
    """One true statement in all its wordings; ``others`` are the wrong answers of the same kind.

    ``cluster`` is the same for one fact told in two languages.
    """

    id: str
    subject: str
    language: str
    cluster: str
    use: Use
    answer: str
    others: tuple[str, ...]
    questions: tuple[str, ...]
    sentence: str
    statements: tuple[str, ...]

    def prompt(self, question: str) -> str:
        """The question as multiple choice asks it, up to where the answer begins."""
        before, after = _INSTRUCTIONS[self.language]
        return before + question + after

    def choices(self, target: int) -> tuple[str, ...]:
        """Four answers with the right one at ``target``; the wrong ones are drawn by the fact's id."""
        wrong = random.Random(self.id).sample(self.others, 3)
        return (*wrong[:target], self.answer, *wrong[target:])


def facts() -> tuple[Fact, ...]:
    """Every fact of the package, in the order of the file."""
    relations = json.loads(_FILE.read_text(encoding="utf-8"))
    return tuple(fact for relation in relations for fact in _facts_of(relation))


def capitalised(sentence: str) -> str:
    """The sentence with its first letter as a capital and all others as they are."""
    return sentence[0].upper() + sentence[1:]


def _facts_of(relation: dict[str, Any]) -> list[Fact]:
    answers = sorted({pair[1] for pair in relation["pairs"]})
    return [_fact(relation, place, pair, answers) for place, pair in enumerate(relation["pairs"])]


def _fact(relation: dict[str, Any], place: int, pair: list[str], answers: list[str]) -> Fact:
    a, b, *key = pair

    def told(template: str) -> str:
        return capitalised(template.format(a=a, b=b))

    return Fact(
        id=f"{relation['name']}-{place + 1:03d}",
        subject=relation["subject"],
        language=relation.get("language", "en"),
        cluster=f"{relation.get('same_as', relation['name'])}:{key[0] if key else a}",
        use=_USES[place % len(_USES)],
        answer=b,
        others=tuple(answer for answer in answers if answer != b),
        questions=tuple(told(template) for template in (relation["question"], *relation["asked"])),
        sentence=told(relation["sentence"]),
        statements=tuple(told(template) for template in relation["said"]),
    )
