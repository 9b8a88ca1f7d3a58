"""Source rows as the trainer's code has read them: with its own roles mapped, or in a form of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from harness.chat.conversation import Conversation, read_row
from harness.chat.spans import row_text
from harness.chat.template import REFUSALS
from harness.chat.tokens import tokens_of
from harness.inspection.documents import Segment
from harness.inspection.source_rows import Source
from harness.rows import OTHER_ROLE_NAMES, checked_rows

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def rows_as_trained(
    rows: Sequence[Mapping[str, Any]], first: Segment, tokenizer: PreTrainedTokenizerBase
) -> tuple[Source, ...]:
    """Read the rows; where ``first``, a document of theirs, shows it, with roles such as human and gpt mapped.

    Raises:
        DataError: a row is in no known form.

    """
    if is_own_form(rows):
        rows = checked_rows((f"training row {number}", row) for number, row in enumerate(rows))
    read = tuple(read_row(row, number) for number, row in enumerate(rows))
    mapped = tuple(_with_known_roles(row) for row in read)
    if mapped == read or first.row >= len(read):
        return read
    return mapped if _renders(mapped[first.row], first, tokenizer) else read


def is_own_form(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether rows are instruction, input and output: whoever trains on these writes them by a format of its own."""
    return (
        bool(rows) and {"instruction", "output"} <= set(rows[0]) and not {"messages", "prompt", "text"} & set(rows[0])
    )


def _with_known_roles(row: Source) -> Source:
    if not isinstance(row, Conversation):
        return row
    messages = tuple(
        {**message, "role": OTHER_ROLE_NAMES.get(str(message.get("role")), message.get("role"))}
        for message in row.messages
    )
    return replace(row, messages=messages)


def _renders(row: Source, document: Segment, tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the document is this row, or most of it."""
    try:
        text = row_text(tokenizer, row)
    except REFUSALS:
        return False
    (tokens,) = tokens_of(tokenizer, [text], add_special_tokens=False)
    shorter = min(len(document.ids), len(tokens.ids))
    return document.ids[:shorter] == tokens.ids[:shorter] and 2 * shorter > len(tokens.ids)
