"""Rows on their way through the model: texts enter, every row takes its next token, rows that have ended leave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any, Protocol

import torch
from transformers import DynamicCache

from harness.engine.batches import Budget, longest_first
from harness.engine.products import fast_products
from harness.engine.virtual_tokens import opened


@dataclass(frozen=True)
class Text:
    """What is read, and how many tokens it may have with its answer."""

    ids: tuple[int, ...]
    reach: int


class Rows(Protocol):
    """Rows in an order. Logits have shape (rows, vocabulary) and are those of the next token."""

    def admits(self, waiting: Sequence[Text]) -> int:
        """How many of the texts that wait, the longest first, should enter now; one at least where no row is."""

    def enter(self, texts: Sequence[Text]) -> torch.Tensor:
        """Read these texts behind the rows that are there; the logits are theirs."""

    def take(self, newest: Sequence[int]) -> torch.Tensor:
        """Let every row read its newest token."""

    def keep(self, rows: Sequence[int]) -> list[int]:
        """Go on with these rows only; returns which of them stands where now."""


class WholeBatches:
    """Rows that start together, padded on the left, in the model's own cache: every model can do that."""

    def __init__(self, module: Any, *, pad_id: int, budget: Budget, most: int) -> None:
        self.module, self.pad_id, self.budget, self.most = module, pad_id, budget, most
        self.count = 0
        self.cache: Any
        self.mask: torch.Tensor
        self.positions: torch.Tensor

    def admits(self, waiting: Sequence[Text]) -> int:
        """A batch that the budget holds, once the one before has ended."""
        if self.count:
            return 0
        return len(next(longest_first([text.reach for text in waiting[: self.most]], self.budget)))

    @torch.inference_mode()
    def enter(self, texts: Sequence[Text]) -> torch.Tensor:
        """Read a batch; equal texts are read once."""
        prompts, which = different(texts)
        start = opened(self.module, len(prompts))
        width = max(map(len, prompts))
        # Padding stands on the left, so that every row's newest token is in the last column.
        padded = [[self.pad_id] * (width - len(prompt)) + list(prompt) for prompt in prompts]
        seen = [[1] * start.length + [0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts]
        self.mask = torch.tensor(seen, device=self.module.device)
        self.positions = (self.mask.cumsum(-1) - 1).clamp(min=0)[:, start.length :]
        self.cache = DynamicCache(config=self.module.config) if start.cache is None else start.cache
        self.inner = start.module
        takes = signature(self.inner.forward).parameters
        self.cache_name = "cache_params" if "cache_params" in takes else "past_key_values"
        logits = self._forward(torch.tensor(padded, device=self.module.device))
        self.count = len(prompts)
        if which != list(range(len(prompts))):
            self.keep(which)
            logits = logits[which]
        return logits

    @torch.inference_mode()
    def keep(self, rows: Sequence[int]) -> list[int]:
        """See ``Rows``; a row may be kept more than once."""
        self.count = len(rows)
        if rows:
            kept = torch.tensor(rows, device=self.module.device)
            self.cache.reorder_cache(kept)  # as beam search does; no other choice of rows is known to all caches
            self.mask, self.positions = self.mask[kept], self.positions[kept]
        return list(rows)

    @torch.inference_mode()
    def take(self, newest: Sequence[int]) -> torch.Tensor:
        """See ``Rows``."""
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(newest), 1)], dim=-1)
        self.positions = self.positions[:, -1:] + 1
        return self._forward(torch.tensor(newest, device=self.module.device)[:, None])

    def _forward(self, inputs: torch.Tensor) -> torch.Tensor:
        # A state has no columns: what a mask could say of the tokens before, it has long said.
        with fast_products(self.inner):
            out = self.inner(
                input_ids=inputs,
                attention_mask=self.mask if inputs.shape[1] > 1 or self.cache_name == "past_key_values" else None,
                position_ids=self.positions,
                use_cache=True,
                logits_to_keep=1,
                **{self.cache_name: self.cache},
            )
        # An adapter may hand back a cache of its own, with what it has to remember beside the base model's.
        self.cache = out[self.cache_name]
        logits: torch.Tensor = out.logits[:, -1]
        return logits


def different(texts: Sequence[Text]) -> tuple[list[tuple[int, ...]], list[int]]:
    """The ids of the texts, equal ones once, and which of these each text has."""
    places: dict[tuple[int, ...], int] = {}
    which = [places.setdefault(text.ids, len(places)) for text in texts]
    return list(places), which
