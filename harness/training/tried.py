"""A recipe's chat template tried on its first rows within bounds, before trl renders all of them without any."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.chat.conversation import Conversation, read_row
from harness.chat.template import REFUSALS, render

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FIRST = 8
"""Rows that are tried; a template without an end seldom waits for a later one."""


def try_template(
    home: Path, tokenizer: PreTrainedTokenizerBase | None, template: str | None, rows: Sequence[Mapping[str, Any]]
) -> None:
    """Render the first conversations as trl will: with the base's tokenizer, and the template asked for.

    ``home`` is the base model's folder, ``tokenizer`` what takes the place of its own, ``template`` a file of Jinja or
    a folder. What the template refuses is left for trl to tell.

    Raises:
        ModelError: the template finds no end, or takes gigabytes.

    """
    first = [read_row(row, number) for number, row in enumerate(rows[:FIRST])]
    conversations = [row for row in first if isinstance(row, Conversation)]
    if not conversations:
        return
    from transformers import AutoTokenizer

    used = copy.copy(tokenizer or AutoTokenizer.from_pretrained(str(home)))
    used.chat_template = _chosen(template) or used.chat_template
    if not used.chat_template:
        return
    for row in conversations:
        try:
            render(used, row.messages, **row.options)
        except REFUSALS:
            return


def _chosen(template: str | None) -> str | None:
    if template is None:
        return None
    if Path(template).is_file():
        return Path(template).read_text(encoding="utf-8")
    from transformers import AutoTokenizer

    return str(AutoTokenizer.from_pretrained(template).get_chat_template())
