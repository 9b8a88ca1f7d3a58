"""A training row as a user wrote it, read as the trainer reads it: which text is rendered, and what is its answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harness.errors import DataError


@dataclass(frozen=True)
class Conversation:
    """Messages and what the template gets with them; those from ``completion_from`` on are the row's completion.

    ``completion_from`` is None where the row does not tell prompt from completion.
    """

    messages: tuple[Mapping[str, Any], ...]
    completion_from: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class PlainText:
    """A row without messages: a text, or a prompt and its completion. No template is applied to it."""

    prompt: str
    completion: str
    has_prompt: bool


def read_row(row: Mapping[str, Any], number: int = 0) -> Conversation | PlainText:
    """Read a row in one of the forms that trl documents: messages, conversations, prompt and completion, or text.

    Raises:
        DataError: the row has none of these columns.

    """
    options = _options(row)
    if isinstance(row.get("prompt"), str) and isinstance(row.get("completion"), str):
        return PlainText(row["prompt"], row["completion"], has_prompt=True)
    if "prompt" in row and "completion" in row:
        prompt = tuple(row["prompt"])
        return Conversation((*prompt, *row["completion"]), len(prompt), options)
    for column in ("messages", "conversations"):
        if row.get(column):
            return Conversation(tuple(_in_roles(message) for message in row[column]), None, options)
    if isinstance(row.get("text"), str):
        return PlainText("", row["text"], has_prompt=False)
    raise DataError(
        f"training row {number} has the columns {sorted(row)} and so neither messages, nor prompt and completion, nor "
        "text: give one of these, as trl's dataset formats name them"
    )


def _options(row: Mapping[str, Any]) -> dict[str, Any]:
    options = dict(row.get("chat_template_kwargs") or {})
    tools = row.get("tools")
    if tools:
        options["tools"] = json.loads(tools) if isinstance(tools, str) else tools
    return options


def _in_roles(message: Mapping[str, Any]) -> dict[str, Any]:
    """``from`` and ``value`` under the names that templates read; the roles themselves stay as they are."""
    renamed = {"from": "role", "value": "content"}
    return {renamed.get(key, key): value for key, value in message.items()}
