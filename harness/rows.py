"""Training rows from JSONL: recognised by their columns, checked one by one, every complaint with its line.

What a row may be, and what it becomes (the forms that trl's ``SFTTrainer`` takes as they are):

    text                              text                  every token is supervised
    messages, or conversations        messages              as trl's ``assistant_only_loss`` says
    conversations of from and value   messages              the same (the ShareGPT form: human and gpt take turns)
    prompt and completion             prompt, completion    the completion is supervised
    instruction, input and output     prompt, completion    as messages (the Alpaca form)
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from harness.errors import DataError
from harness.samples import json_lines

Row = dict[str, Any]

ROLES = ("system", "user", "assistant", "tool")
OTHER_ROLE_NAMES = {
    "human": "user",
    "customer": "user",
    "gpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "developer": "system",
    "function": "tool",
}
SHAREGPT_ROLES = {"human": "user", "gpt": "assistant", "observation": "tool"}
"""What a speaker is in messages of ``from`` and ``value``; under ``role`` these are mistakes."""

BESIDE = ("tools", "chat_template_kwargs")
"""Columns that trl reads beside the conversation; others (an id, a source) play no part in training."""


def read_rows(path: Path, text_field: str = "text") -> list[Row]:
    """Read a JSONL file of training rows, all of one form; ``text_field`` names the column of plain text.

    Raises DataError, naming the line, for malformed JSON, unknown columns or roles, and answers that are not there.
    """
    rows = checked_rows(((f"{path}:{number}", line) for number, line in json_lines(path)), text_field)
    if not rows:
        raise DataError(f"{path}: holds no training row; write one JSON object a line.")
    return rows


def checked_rows(lines: Iterable[tuple[str, Mapping[str, Any]]], text_field: str = "text") -> list[Row]:
    """Bring (place, row) pairs to trl's forms; the place opens the sentence of every DataError."""
    rows: list[Row] = []
    first_form, first_place = "", ""
    for place, line in lines:
        form, row = _recognised(line, place, text_field)
        row |= _beside(line, place)
        if not rows:
            first_form, first_place = form, place
        elif form != first_form:
            raise DataError(
                f"{place}: the row is {form}, but the first row ({first_place}) is {first_form}; "
                "one file holds one form, so split it."
            )
        rows.append(row)
    return rows


def _recognised(line: Mapping[str, Any], place: str, text_field: str) -> tuple[str, Row]:
    columns = {column for column, value in line.items() if value is not None}
    if {"prompt", "completion"} <= columns:
        return _prompt_completion(line, place)
    if "messages" in columns:
        return "messages", {"messages": _conversation(line["messages"], place, "messages")}
    if "conversations" in columns:
        messages = _conversation(line["conversations"], place, "conversations")
        if "system" in columns and messages[0]["role"] != "system":
            messages = [{"role": "system", "content": _text(line["system"], place, "system")}, *messages]
        return "messages", {"messages": messages}
    if text_field in columns:
        return "text", {text_field: _text(line[text_field], place, text_field)}
    if {"instruction", "output"} <= columns:
        return "prompt and completion as messages", _alpaca(line, place)
    raise DataError(
        f"{place}: no usable columns among {', '.join(sorted(line)) or 'none'}; write messages, prompt and completion, "
        f"instruction and output, or {text_field}."
    )


def _prompt_completion(line: Mapping[str, Any], place: str) -> tuple[str, Row]:
    prompt, completion = line["prompt"], line["completion"]
    if isinstance(prompt, str) and isinstance(completion, str):
        return "prompt and completion as text", {
            "prompt": prompt,
            "completion": _text(completion, place, "completion"),
        }
    if isinstance(prompt, str) or isinstance(completion, str):
        raise DataError(f"{place}: prompt and completion must both be text or both be lists of messages.")
    return "prompt and completion as messages", {
        "prompt": _messages(prompt, place, "prompt"),
        "completion": _conversation(completion, place, "completion"),
    }


def _alpaca(line: Mapping[str, Any], place: str) -> Row:
    instruction = _text(line["instruction"], place, "instruction")
    question = {"role": "user", "content": instruction}
    if line.get("input"):
        given = _text(line["input"], place, "input")
        # The part is also told by itself: a template that has a section for it can split it off.
        question |= {"content": f"{instruction}\n\n{given}", "input": given}
    answer = _text(line["output"], place, "output")
    return {"prompt": [question], "completion": [{"role": "assistant", "content": answer}]}


def _text(value: Any, place: str, column: str) -> str:
    if not isinstance(value, str):
        raise DataError(f"{place}: {column} must be text, this is {type(value).__name__}.")
    if not value.strip():
        raise DataError(f"{place}: {column} is empty, so there is nothing to learn from; fill it or drop the row.")
    return value


def _conversation(value: Any, place: str, column: str) -> list[Row]:
    messages = _messages(value, place, column)
    if not any(message["role"] == "assistant" for message in messages):
        raise DataError(f"{place}: {column} has no assistant turn, so there is nothing to learn; drop the row.")
    return messages


def _messages(value: Any, place: str, column: str) -> list[Row]:
    if not isinstance(value, list) or not value:
        raise DataError(f"{place}: {column} must be a list with at least one message.")
    return [_message(message, f"{place}: {column}[{position}]") for position, message in enumerate(value)]


def _message(value: Any, where: str) -> Row:
    if not isinstance(value, Mapping):
        raise DataError(f"{where} must be a message with role and content, this is {type(value).__name__}.")
    if "from" in value and "role" not in value:
        speaker = value["from"]
        value = {"role": SHAREGPT_ROLES.get(str(speaker), speaker), "content": value.get("value")}
    role, content = value.get("role"), value.get("content")
    if role not in ROLES:
        raise DataError(f"{where} has the role {role!r}; {_role_advice(role)}.")
    if content is None and not value.get("tool_calls"):
        raise DataError(f"{where} has no content (null); write its text or drop the row.")
    if content is not None and not isinstance(content, str) and not _is_typed_text(content):
        raise DataError(
            f"{where} has a content of type {type(content).__name__}; write text, or a list of parts such as "
            '{"type": "text", "text": "Hello"}.'
        )
    if role == "assistant" and not _said(content).strip() and not value.get("tool_calls"):
        raise DataError(f"{where} is an empty assistant answer, which teaches to say nothing; fill it or drop the row.")
    return {key: part for key, part in value.items() if part is not None or key == "content"}


def _is_typed_text(content: Any) -> bool:
    """Whether a content is a list of parts that are all text, as templates of vision models take it."""
    return isinstance(content, list) and all(
        isinstance(part, Mapping) and part.get("type") == "text" and isinstance(part.get("text"), str)
        for part in content
    )


def _said(content: Any) -> str:
    return content or "" if isinstance(content, str | None) else "".join(part["text"] for part in content)


def _beside(line: Mapping[str, Any], place: str) -> Row:
    """The columns that a template gets beside the conversation, in the types that it takes."""
    found = {column: line[column] for column in BESIDE if line.get(column) is not None}
    tools, options = found.get("tools"), found.get("chat_template_kwargs", {})
    if isinstance(tools, str) and tools:
        try:
            tools = json.loads(tools)
        except ValueError:
            raise DataError(f"{place}: tools is text and no JSON; write a list of function descriptions.") from None
    if tools and not isinstance(tools, list):
        raise DataError(f"{place}: tools must be a list of function descriptions, this is {type(tools).__name__}.")
    if not isinstance(options, Mapping):
        raise DataError(
            f"{place}: chat_template_kwargs must be an object of the template's variables, this is "
            f"{type(options).__name__}."
        )
    return found


def _role_advice(role: Any) -> str:
    alike = difflib.get_close_matches(str(role).lower(), ROLES, n=1)
    nearest = OTHER_ROLE_NAMES.get(str(role).lower()) or (alike[0] if alike else "")
    return f"write {nearest!r}" if nearest else f"roles are {', '.join(ROLES)}"
