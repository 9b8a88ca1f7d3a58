"""The room that a generation config leaves for an answer: what breaks every answer off looks like a model that stops.

Stock settings leave room: a limit of hundreds of tokens, and the 20 that old files state because it was a default.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.chat.frame import message
from harness.chat.template import encode
from harness.inspection.checkpoint import Checkpoint
from harness.records import Finding

SHORTEST = 8
"""Tokens; hardly a sentence is shorter."""

ONCE_A_DEFAULT = 20
"""``max_length`` where nobody chose one."""


def answers_have_room(saved: Checkpoint) -> list[Finding]:
    """No limit cuts an answer within its first words, and no white space ends it."""
    return [*_tiny_limits(saved), *_blank_stop_strings(saved)]


def _tiny_limits(saved: Checkpoint) -> Iterator[Finding]:
    config = saved.generation_config
    new, whole = (_number(config, key) for key in ("max_new_tokens", "max_length"))
    if new is not None:
        if new < SHORTEST:
            yield _cut(config, "max_new_tokens", new, f"at least {SHORTEST}, or no limit", "")
    elif whole is not None and whole != ONCE_A_DEFAULT:
        prompt = len(encode(saved.tokenizer, [message("user", "Hi", saved.habits.parts)], generation_prompt=True))
        if whole < prompt + SHORTEST:
            counted = f", of which the prompt of a user who says 'Hi' takes {prompt}"
            yield _cut(config, "max_length", whole, f"at least {prompt + SHORTEST}, or no limit", counted)


def _cut(config: Any, key: str, limit: int, expected: str, counted: str) -> Finding:
    forced = getattr(config, "forced_eos_token_id", None) is not None
    masked = "; forced_eos_token_id puts an end token there, so that cut answers look like ended ones" if forced else ""
    return Finding(
        "the generation config cuts every answer within its first words",
        f"generation_config.{key}",
        expected,
        f"{limit} tokens{counted}{masked}",
        f"remove {key} from generation_config.json, or pass it only to the call that needs it",
    )


def _blank_stop_strings(saved: Checkpoint) -> Iterator[Finding]:
    """White space may end the answers of a template whose turns end with nothing else."""
    stated = getattr(saved.generation_config, "stop_strings", None) or ()
    blank = [text for text in ([stated] if isinstance(stated, str) else stated) if not str(text).strip()]
    if blank and saved.habits.terminator_id is not None:
        yield Finding(
            "the generation config ends answers at white space",
            "generation_config.stop_strings",
            f"strings that only the end of an answer has; the template ends it with {saved.habits.terminator!r}",
            ", ".join(map(repr, blank)),
            "take it out of stop_strings: an answer would break off at the first such space or line break",
        )


def _number(config: Any, key: str) -> int | None:
    value = getattr(config, key, None)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
