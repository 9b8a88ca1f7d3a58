"""A training row in any form as what it says: who speaks, and which of it is an answer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.rows import OTHER_ROLE_NAMES

ASSISTANT = "assistant"
TEXT = "text"
"""The role of a text without turns: it is all learned, so it counts as prompt and as answer."""


@dataclass(frozen=True)
class RowText:
    """``turns`` are (role, text) in their order; ``number`` counts the rows from 0, as every finding does."""

    number: int
    turns: tuple[tuple[str, str], ...]

    @property
    def answers(self) -> tuple[str, ...]:
        """What the assistant says; the whole text where a row has no turns."""
        return tuple(text for role, text in self.turns if role in (ASSISTANT, TEXT))

    @property
    def prompt(self) -> str:
        """What the last answer is a reply to, instructions of the system left out; empty for a text without turns."""
        before = self.turns[: self._last_answer]
        return "\n".join(text for role, text in before if role != "system")

    @property
    def last_answer(self) -> str:
        """The answer that ends the row; empty where nobody answers."""
        return self.turns[self._last_answer][1] if self.answers else ""

    @property
    def place(self) -> str:
        """The row for a reader: its number and how it begins."""
        shown = next((text for role, text in self.turns if role != "system" and text.strip()), "")
        return f"training row {self.number} ({opening(shown)})"

    @property
    def _last_answer(self) -> int:
        return max((at for at, (role, _) in enumerate(self.turns) if role in (ASSISTANT, TEXT)), default=0)


def opening(text: str, characters: int = 48) -> str:
    """The beginning of a text on one line, quoted, with everything that is not printable in Python's escapes."""
    line = " ".join(text[: 2 * characters].split())
    cut = len(line) > characters or len(text) > 2 * characters
    return f"{line[:characters]!r}" + ("..." if cut else "")


def row_text(row: Mapping[str, Any], number: int) -> RowText:
    """Read a row: messages, conversations, prompt and completion, instruction and output, or one column of text."""
    return RowText(number, tuple(_turns(row)))


def _turns(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for column in ("messages", "conversations"):
        if isinstance(row.get(column), list | tuple):
            if isinstance(row.get("system"), str):
                yield "system", row["system"]
            yield from map(_turn, row[column])
            return
    if row.get("prompt") is not None and row.get("completion") is not None:
        yield from _side(row["prompt"], "user")
        yield from _side(row["completion"], ASSISTANT)
    elif isinstance(row.get("instruction"), str) and isinstance(row.get("output"), str):
        yield "user", "\n\n".join(filter(None, (row["instruction"], row.get("input"))))
        yield ASSISTANT, row["output"]
    else:
        yield from ((TEXT, text) for text in row.values() if isinstance(text, str))


def _side(side: Any, role: str) -> Iterator[tuple[str, str]]:
    if isinstance(side, str):
        yield role, side
    else:
        yield from map(_turn, side)


def _turn(message: Mapping[str, Any]) -> tuple[str, str]:
    role = str(message.get("role", message.get("from")))
    content = message.get("content", message.get("value"))
    if isinstance(content, list | tuple):
        content = "".join(str(part.get("text") or "") for part in content if isinstance(part, Mapping))
    calls = message.get("tool_calls")
    called = json.dumps(calls, ensure_ascii=False, default=str) if calls else ""
    return OTHER_ROLE_NAMES.get(role, role), "\n".join(filter(None, (content, called)))
