"""Ids that were made elsewhere: the text they stand for, and the characters of it that each of them covers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.chat.tokens import Tokens, tokens_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

UNFINISHED = "\N{REPLACEMENT CHARACTER}"
"""What decoding ends with as long as the bytes of a character are not all there."""


def tokens_of_ids(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> Tokens:
    """The text of the ids with the place of each in it, whether or not the tokenizer would make these ids of it.

    Raises:
        ModelError: the tokenizer has no fast backend, and so no offsets.

    """
    given = tuple(int(i) for i in ids)
    (again,) = tokens_of(tokenizer, [_decoded(tokenizer, given)], add_special_tokens=False)
    # Rows that were joined from pieces, or cut within a character, are tokenised otherwise as a whole.
    return again if again.ids == given else _piece_by_piece(tokenizer, given)


def _piece_by_piece(tokenizer: PreTrainedTokenizerBase, ids: tuple[int, ...]) -> Tokens:
    """Each id as what it adds to the text of those just before it; ids of one character all cover that character."""
    text = ""
    starts: list[int] = []
    ends: list[int] = []
    context = done = 0
    for upto in range(1, len(ids) + 1):
        written = _decoded(tokenizer, ids[context:upto])
        if written.endswith(UNFINISHED) and upto < len(ids):
            continue
        added = written[len(_decoded(tokenizer, ids[context:done])) :]
        starts += [len(text)] * (upto - done)
        text += added
        ends += [len(text)] * (upto - done)
        context, done = done, upto
    return Tokens(text, ids, tuple(starts), tuple(ends))


def _decoded(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    return str(tokenizer.decode(list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False))
