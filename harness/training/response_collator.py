"""A collator for rows of raw text: what stands after a response marker is learned, the rest is not.

The answer is found by the characters that each token covers. A marker that is tokenised otherwise in its place than by
itself, which is where a search for the marker's ids fails, makes no difference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from harness.chat.control import puts_bos_first
from harness.chat.given_ids import tokens_of_ids
from harness.chat.tokens import Tokens, tokens_of
from harness.errors import DataError, ModelError, UsageError
from harness.training.marked_text import Markers, answers_in

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IGNORED = -100
PACKED = ("position_ids", "seq_lengths")


class ResponseCollator:
    """Collates rows of ``input_ids``, or of ``text`` that is not tokenised yet, and learns the answers alone.

    An answer begins after ``response_marker`` and ends with the row, its eos token included, or before the next
    ``instruction_marker``. Text gets BOS where the tokenizer puts it, and the eos token at its end. A row whose answer
    cannot be found is an error; leave such rows out with ``dataset.filter(collator.finds_answers)``.

    Raises:
        UsageError: a marker is empty, or part of the other; the tokenizer has no eos token.
        ModelError: the tokenizer has no fast backend, and so no offsets.

    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        response_marker: str = "### Response:\n",
        instruction_marker: str | None = None,
    ) -> None:
        if not tokenizer.is_fast:
            raise ModelError(
                f"the tokenizer {type(tokenizer).__name__} cannot tell which characters a token covers, so no answer "
                "can be found by its marker: load it with use_fast=True, or save a tokenizer.json beside the model"
            )
        if tokenizer.eos_token is None:
            raise UsageError("the tokenizer has no eos token, so no answer could end: set tokenizer.eos_token")
        self.tokenizer = tokenizer
        self.markers = Markers(response_marker, instruction_marker)

    def __call__(self, features: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """Return ``input_ids``, ``attention_mask`` and ``labels`` of shape (rows, longest row), padded on the right.

        Raises:
            DataError: a row without an answer, with neither ids nor text, or packed.

        """
        rows = [self._row(feature, number) for number, feature in enumerate(features)]
        longest = max(len(ids) for ids, _ in rows)
        pad = self.tokenizer.pad_token_id
        pad = self.tokenizer.eos_token_id if pad is None else pad

        def padded(values: Sequence[int], filler: int) -> list[int]:
            return [*values, *[filler] * (longest - len(values))]

        return {
            "input_ids": torch.tensor([padded(ids, pad) for ids, _ in rows]),
            "attention_mask": torch.tensor([padded([1] * len(ids), 0) for ids, _ in rows]),
            "labels": torch.tensor([padded(labels, IGNORED) for _, labels in rows]),
        }

    def finds_answers(self, feature: Mapping[str, Any]) -> bool:
        """Whether the row's answer can be found, to filter a data set by."""
        tokens = self._tokens(feature, 0)
        try:
            self._labels(tokens)
        except DataError:
            return False
        return True

    def _row(self, feature: Mapping[str, Any], number: int) -> tuple[Sequence[int], Sequence[int]]:
        tokens = self._tokens(feature, number)
        try:
            return tokens.ids, self._labels(tokens)
        except DataError as error:
            raise DataError(
                f"row {number} of the batch, which begins {tokens.text[:60]!r}, {error}; "
                "dataset.filter(collator.finds_answers) leaves such rows out"
            ) from None

    def _tokens(self, feature: Mapping[str, Any], number: int) -> Tokens:
        packed = [column for column in PACKED if column in feature]
        if packed:
            raise DataError(
                f"row {number} of the batch has {packed[0]}, so several documents are packed into it, and would see "
                "each other: train with packing=False"
            )
        if feature.get("input_ids") is not None:
            return tokens_of_ids(self.tokenizer, feature["input_ids"])
        if isinstance(feature.get("text"), str):
            return self._tokens_of_text(feature["text"])
        raise DataError(
            f"row {number} of the batch has the columns {sorted(feature)} and so neither input_ids nor text: pass "
            "remove_unused_columns=False to the trainer, which otherwise takes the text away"
        )

    def _tokens_of_text(self, text: str) -> Tokens:
        bos, eos = self.tokenizer.bos_token or "", self.tokenizer.eos_token
        begin = bos if puts_bos_first(self.tokenizer) and not text.startswith(bos) else ""
        whole = begin + text + ("" if text.endswith(eos) else eos)
        (tokens,) = tokens_of(self.tokenizer, [whole], add_special_tokens=False)
        return tokens

    def _labels(self, tokens: Tokens) -> list[int]:
        whole = tokens.ids[-1:] == (self.tokenizer.eos_token_id,)
        learned = [False] * len(tokens.ids)
        for start, end in answers_in(tokens.text, self.markers, whole=whole):
            for index in range(tokens.first_beyond(start), tokens.first_from(end)):
                learned[index] |= _belongs(tokens, index, start, end)
        return [token if kept else IGNORED for token, kept in zip(tokens.ids, learned, strict=True)]


def _belongs(tokens: Tokens, index: int, start: int, end: int) -> bool:
    """Whether a token is the answer's: it lies within, or reaches over its edge with more than white space of it."""
    first, last = tokens.starts[index], tokens.ends[index]
    within = start <= first < end and last <= end
    return within or bool(tokens.text[max(first, start) : min(last, end)].strip())
