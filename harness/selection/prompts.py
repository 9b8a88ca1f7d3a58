"""The prompts that a teacher answers: evaluation samples, or training rows whose last answer is the reference."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import DataError
from harness.records import Sample, SampleSet
from harness.rows import BESIDE, Row, checked_rows
from harness.samples import json_lines, read_samples, sample_of

OF_A_ROW = ("completion", "conversations", "instruction", "text")
"""Columns that only training rows have."""


def read_prompts(path: Path) -> SampleSet:
    """Read a JSONL file of samples (``id``, ``prompt`` or ``messages``, perhaps ``references``) or of training rows.

    A training row gives the conversation before its last answer as the prompt, that answer as the reference, and its
    line as the id. Raises DataError, naming the line, for what is neither, for multiple choice, for rows that need
    tools or variables of a template, and where some prompts have references and some have none.
    """
    first = next((line for _, line in json_lines(path)), {})
    prompts = _of_rows(path) if _is_row(first) else read_samples(path)
    for sample in prompts:
        if sample.choices:
            raise DataError(
                f"{path}: sample {sample.id!r} is multiple choice, and a teacher writes answers; give references."
            )
    bare = [sample for sample in prompts if not sample.references]
    if bare and len(bare) < len(prompts):
        raise DataError(
            f"{path}: {len(bare)} of {len(prompts)} prompts have no references (first: {bare[0].id!r}), so their "
            "scores would not mean the same; split the file."
        )
    return prompts


def _is_row(line: Mapping[str, Any]) -> bool:
    messages = line.get("messages")
    ends_answered = isinstance(messages, list) and any(
        isinstance(message, Mapping) and message.get("role") == "assistant" for message in messages[-1:]
    )
    return ends_answered or any(column in line for column in OF_A_ROW)


def _of_rows(path: Path) -> SampleSet:
    lines = list(json_lines(path))
    rows = checked_rows((f"{path}:{number}", line) for number, line in lines)
    asked = (_of_row(row, f"{path}:{number}", number) for (number, _), row in zip(lines, rows, strict=True))
    return SampleSet(path.stem, tuple(asked), origin=str(path))


def _of_row(row: Row, place: str, number: int) -> Sample:
    for column in BESIDE:
        if row.get(column):
            raise DataError(f"{place}: the row has {column}, which the teacher is not given; leave such rows out.")
    turns = row["messages"] if "messages" in row else _turns(row, place)
    last = max(place for place, message in enumerate(turns) if message["role"] == "assistant")
    answer = turns[last].get("content")
    if last == 0:
        raise DataError(f"{place}: nothing comes before the answer, so there is nothing to ask; drop the row.")
    if not isinstance(answer, str) or turns[last].get("tool_calls"):
        raise DataError(f"{place}: the last answer is no plain text, which a metric needs; leave such rows out.")
    return sample_of({"id": f"line-{number}", "messages": turns[:last], "references": [answer]}, place)


def _turns(row: Row, place: str) -> list[Row]:
    prompt, completion = row.get("prompt"), row.get("completion")
    if not isinstance(prompt, list) or not isinstance(completion, list):
        raise DataError(f"{place}: the row is plain text, and a teacher is asked in messages; write messages.")
    return [*prompt, *completion]
