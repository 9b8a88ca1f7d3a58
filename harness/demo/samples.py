"""The bundled sample files, made from the facts: multiple choice, quality, stopping, and rows to inspect."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness.demo.corpus import chat_rows, stopping_chats, written_chats
from harness.demo.facts import Fact, facts

Line = dict[str, Any]

_OTHER_ROWS = 11
_STOPPING_SAMPLES = 72


def questions() -> list[Line]:
    """Multiple choice with four answers; each position is right equally often. Facts kept for quality are not asked."""
    asked = [fact for fact in facts() if fact.use != "quality"]
    targets = [place % 4 for place in range(len(asked))]
    random.Random(0).shuffle(targets)
    return [_question(fact, target) for fact, target in zip(asked, targets, strict=True)]


def quality_samples() -> list[Line]:
    """Questions to be answered by one sentence, asked in words that no chat row of the demo uses."""
    return [
        {"id": f"{fact.id}-sentence", "prompt": fact.questions[0], "references": [fact.sentence]}
        for fact in facts()
        if fact.use == "quality"
    ]


def stopping_samples() -> list[Line]:
    """Prompts that a short answer suits: written chats, filled up with questions about facts."""
    chats = [list(messages) for messages in stopping_chats()]
    unasked = [fact for fact in facts() if fact.use == "question"]
    asked = random.Random(0).sample(unasked, _STOPPING_SAMPLES - len(chats))
    return [{"id": f"chat-{place + 1:03d}", **_input(messages)} for place, messages in enumerate(chats)] + [
        {"id": f"fact-{fact.id}", "prompt": fact.questions[1]} for fact in asked
    ]


def training_rows() -> list[Line]:
    """Rows that the demo was tuned on: all that are written by hand, and a few of the others."""
    written = written_chats()
    others = random.Random(0).sample(chat_rows()[len(written) :], _OTHER_ROWS)
    return [{"messages": list(messages)} for messages in written + others]


FILES = {
    "general_knowledge.jsonl": questions,
    "quality.jsonl": quality_samples,
    "stopping.jsonl": stopping_samples,
    "training_rows.jsonl": training_rows,
}


def as_jsonl(lines: Iterable[Line]) -> str:
    """One JSON object a line, with Chinese as it is read."""
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def write_samples(folder: Path) -> None:
    """Write every bundled file into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, lines in FILES.items():
        (folder / name).write_text(as_jsonl(lines()), encoding="utf-8")


def _question(fact: Fact, target: int) -> Line:
    return {
        "id": fact.id,
        "subject": fact.subject,
        "prompt": fact.prompt(fact.questions[0]),
        "choices": list(fact.choices(target)),
        "target": target,
        "cluster": fact.cluster,
    }


def _input(messages: list[Any]) -> Line:
    alone = len(messages) == 1
    return {"prompt": messages[0]["content"]} if alone else {"messages": messages}
