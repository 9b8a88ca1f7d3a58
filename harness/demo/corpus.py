"""What the pair is trained on: plain documents for the base model, chat rows for the tuned ones."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from itertools import product
from pathlib import Path
from typing import Any

from harness.demo.facts import Fact, capitalised, facts
from harness.records import Message, Messages

_FOLDER = Path(__file__).parent
_SYSTEM = {"en": "You answer in one short sentence.", "zh": "请用一句话回答。"}
_STORIES = 250
_HELD_OUT_TRANSLATIONS = 8  # every eighth sentence of the toy language is kept for measuring


def documents(seed: int = 0) -> list[str]:
    """Plain text for one pass of pre-training, in random order.

    Every fact in each of its wordings, a few paragraphs of prose, and stories that are new for each seed.
    """
    rng = random.Random(seed)
    prose = _read("prose.json")
    told = [text for fact in facts() for text in _wordings(fact)]
    texts = told + prose["paragraphs"] + [_story(prose, rng) for _ in range(_STORIES)]
    return rng.sample(texts, len(texts))


def chat_rows() -> list[Messages]:
    """Rows for tuning: translations into a toy language, small talk, and chats about the facts.

    A fact kept for quality is asked once, and in other words than its quality sample asks it.
    """
    known = [fact for fact in facts() if fact.use == "chat"]
    single = [row for fact in known for row in _asked_in_chat(fact)]
    double = [chat(*_turn(first), *_turn(second)) for first, second in zip(known[::2], known[1::2], strict=False)]
    reworded = [
        chat(("user", fact.questions[1]), ("assistant", fact.sentence)) for fact in facts() if fact.use == "quality"
    ]
    training, _ = translations()
    return written_chats() + single + double + reworded + training


def written_chats() -> list[Messages]:
    """The tuning rows that are written by hand: small talk, code, emoji, system messages, up to three turns."""
    return [chat(*row) for row in _read("chats.json")["rows"]]


def translations() -> tuple[list[Messages], list[Messages]]:
    """Chats that ask for a sentence of the toy language: those to train on, and those held out."""
    toy = _read("prose.json")["toy_language"]
    words = product(toy["adjectives"].items(), toy["nouns"].items(), toy["verbs"].items())
    rows = [
        chat(
            ("user", f"Translate into {toy['name']}: the {adjective} {noun} {verb}"),
            ("assistant", f"{toy_noun} {toy_adjective} {toy_verb}"),
        )
        for (adjective, toy_adjective), (noun, toy_noun), (verb, toy_verb) in words
    ]
    random.Random(0).shuffle(rows)
    held_out = rows[::_HELD_OUT_TRANSLATIONS]
    return [row for row in rows if row not in held_out], held_out


def stopping_chats() -> list[Messages]:
    """Chats written to be answered shortly, none of them a training row."""
    return [chat(*row) for row in _read("chats.json")["stopping"]]


def chat(*turns: Iterable[str]) -> Messages:
    """Messages from (role, content) pairs."""
    return tuple(_message(role, content) for role, content in turns)


def _wordings(fact: Fact) -> list[str]:
    asked = [f"{fact.prompt(question)} {fact.answer}" for question in fact.questions]
    answered = [f"{question} {fact.sentence}" for question in fact.questions]
    return [*asked, *answered, fact.sentence, *fact.statements]


def _story(prose: dict[str, Any], rng: random.Random) -> str:
    words = [rng.choice(words) for words in prose["words"]]
    return " ".join(capitalised(sentence.format(*words)) for sentence in rng.choice(prose["stories"]))


def _asked_in_chat(fact: Fact) -> list[Messages]:
    rows = [chat(("user", question), ("assistant", fact.sentence)) for question in fact.questions]
    with_system = chat(("system", _SYSTEM[fact.language]), *_turn(fact))
    return [*rows, with_system]


def _turn(fact: Fact) -> list[tuple[str, str]]:
    return [("user", fact.questions[0]), ("assistant", fact.sentence)]


def _message(role: str, content: str) -> Message:
    return {"role": role, "content": content}


def _read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((_FOLDER / name).read_text(encoding="utf-8"))
    return content
