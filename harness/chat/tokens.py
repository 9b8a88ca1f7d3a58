"""Texts as ids with the characters that each id covers: the bridge from what is written to what is learned."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

AT_ONCE = 256
"""Texts a call: enough to keep the tokenizer's threads busy, few enough to hold."""


@dataclass(frozen=True)
class Tokens:
    """Ids and the characters they cover, each token from where the one before it ended (offsets leave spaces out).

    Neither ``starts`` nor ``ends`` ever falls.
    """

    text: str
    ids: tuple[int, ...]
    starts: tuple[int, ...]
    ends: tuple[int, ...]

    def first_beyond(self, char: int) -> int:
        """The first token that covers something at or after the character."""
        return bisect_right(self.ends, char)

    def first_from(self, char: int) -> int:
        """The first token that begins at or after the character."""
        return bisect_left(self.starts, char)

    def is_blank(self, index: int) -> bool:
        """Whether the token stands for white space alone."""
        return not self.text[self.starts[index] : self.ends[index]].strip()


def tokens_of(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], *, add_special_tokens: bool
) -> Iterator[Tokens]:
    """Tokenise many texts, in their order.

    Raises:
        ModelError: the tokenizer has no fast backend, and so no offsets.

    """
    if not tokenizer.is_fast:
        raise ModelError(
            f"the tokenizer {type(tokenizer).__name__} cannot tell which characters a token covers, so no mask can be "
            "checked: load it with use_fast=True, or save a tokenizer.json beside the model"
        )
    for start in range(0, len(texts), AT_ONCE):
        chosen = list(texts[start : start + AT_ONCE])
        encoded = tokenizer(
            chosen, add_special_tokens=add_special_tokens, return_offsets_mapping=True, return_attention_mask=False
        )
        for text, ids, offsets in zip(chosen, encoded["input_ids"], encoded["offset_mapping"], strict=True):
            yield _tokens(text, ids, offsets)


def _tokens(text: str, ids: Sequence[int], offsets: Sequence[tuple[int, int]]) -> Tokens:
    starts: list[int] = []
    ends: list[int] = []
    begun = reached = 0
    for start, end in offsets:  # hundreds of thousands of tokens: comparisons are quicker than min() and max()
        # A token without characters (BOS, say) stands where the text has got to.
        from_here = start if end and start < reached else reached
        if from_here > begun:
            begun = from_here
        if end > reached:
            reached = end
        starts.append(begun)
        ends.append(reached)
    return Tokens(text, tuple(ids), tuple(starts), tuple(ends))
