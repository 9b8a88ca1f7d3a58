"""A conversation as the template writes it, if it writes it at all: what checks of abilities start from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.chat.template import REFUSALS, render
from harness.records import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def attempt(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message], generation_prompt: bool = False, **options: Any
) -> str | None:
    """The rendered text; None where the template refuses, which is its good right."""
    try:
        return render(tokenizer, messages, generation_prompt, **options)
    except REFUSALS:
        return None
