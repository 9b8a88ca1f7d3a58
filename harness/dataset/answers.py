"""What every answer must be: something, and not the prompt over again."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from harness.dataset.row_text import ASSISTANT, RowText
from harness.dataset.rows_and_samples import RowsAndSamples
from harness.findings import Note
from harness.records import Finding

ROWS, SHARE = 10, 0.5
"""From 10 rows on, answers that begin with their whole prompt are a mistake where they are half of all: a few repeat
what they are asked to go on with."""

SHOWN = 4


def no_answer_is_empty(data: RowsAndSamples, _: Note) -> list[Finding]:
    """Every answer holds a character that can be seen: an empty one teaches to end at once."""
    empty = [row for row in data.texts if any(role == ASSISTANT and not _is_seen(text) for role, text in row.turns)]
    if not empty:
        return []
    return [
        Finding(
            "an answer is empty, so the model learns to stop before it has said anything",
            listed(empty),
            "some text, or tool calls, in every answer",
            f"nothing, or nothing that can be seen, in {len(empty)} of {len(data.texts)} rows",
            "fill in these answers or take the rows out",
        )
    ]


def answers_do_not_repeat_their_prompts(data: RowsAndSamples, note: Note) -> list[Finding]:
    """Answers begin after the prompt: one that holds it teaches to say what was asked before answering."""
    asked = [row for row in data.texts if row.prompt.strip()]
    repeating = [row for row in asked if _repeats(row)]
    if len(repeating) >= max(ROWS, SHARE * len(asked)):
        return [
            Finding(
                "answers begin with their prompts, so the model learns to repeat what it is asked",
                listed(repeating),
                "the answer alone: the prompt has a column or a message of its own",
                f"{len(repeating)} of {len(asked)} answers begin with the whole prompt and go on after it",
                "cut the prompt off the answers (of a model that writes both, decode the new tokens alone)",
            )
        ]
    if len(repeating) >= ROWS:
        note(f"{len(repeating)} of {len(asked)} answers begin with their whole prompt: {listed(repeating)}")
    return []


def listed(rows: Sequence[RowText], shown: int = SHOWN) -> str:
    """The first rows by number and opening, and how many more there are."""
    first = ", ".join(row.place for row in rows[:shown])
    return first + (f" and {len(rows) - shown} more" if len(rows) > shown else "")


def _is_seen(text: str) -> bool:
    return any(not c.isspace() and unicodedata.category(c) not in ("Cf", "Cc") for c in text)


def _repeats(row: RowText) -> bool:
    prompt, answer = row.prompt.strip(), row.last_answer.strip()
    return len(answer) > len(prompt) and answer.startswith(prompt)
