"""Control tokens: the ids that structure a conversation and that no ordinary text is made of."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import compress, count
from operator import ne
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MARKER = re.compile(r"<[|｜][^<>|｜\s]+[|｜]>")
"""Text between bars in angle brackets, ``<|like_this|>``: written to be one token."""

HIGHEST_ID = 2**32
"""Tokenizers decode no id from here on; they raise an error."""


def control_ids(tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Every id of the added vocabulary and every special id."""
    return frozenset(tokenizer.get_added_vocab().values()) | frozenset(tokenizer.all_special_ids)


def special_tokens(tokenizer: PreTrainedTokenizerBase) -> dict[int, str]:
    """The special tokens by id: those that structure a conversation and have no place inside an answer."""
    return {int(i): str(token) for i, token in tokenizer.added_tokens_decoder.items() if token.special}


def plain_ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """The text's ids with nothing put around it by the tokenizer."""
    return [int(i) for i in tokenizer(text, add_special_tokens=False)["input_ids"]]


def puts_bos_first(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the tokenizer puts BOS before plain text, and so was its model trained to see BOS at the start."""
    return tokenizer.bos_token_id is not None and tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id]


def control_ids_in(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """The control tokens of a text in their order. They are split off first, so neighbours cannot change them."""
    controls = control_ids(tokenizer)
    return [i for i in plain_ids(tokenizer, text) if i in controls]


def token_text(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int] | int) -> str:
    """The ids as text, control tokens included."""
    listed = [ids] if isinstance(ids, int) else list(ids)
    return str(tokenizer.decode(listed, skip_special_tokens=False))


def name_token(tokenizer: PreTrainedTokenizerBase, token_id: int) -> str:
    """A token for a reader: its text, quoted, and its id; the id alone where no token has it."""
    text = token_text(tokenizer, token_id) if 0 <= token_id < HIGHEST_ID else ""
    return f"{text!r} (id {token_id})" if text else f"id {token_id}"


def quoted(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    """Ids for a reader: their text in quotes; nothing where there are none."""
    return repr(token_text(tokenizer, ids)) if ids else ""


def first_difference(left: Sequence[object], right: Sequence[object]) -> int:
    """The first index at which two sequences differ: the length of their common prefix."""
    return next(compress(count(), map(ne, left, right)), min(len(left), len(right)))
