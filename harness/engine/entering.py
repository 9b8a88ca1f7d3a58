"""Rows in slots: texts enter while others are under way, and what all of them begin with is read once.

Texts are read several at a time where they are of like length. None has padding before it, and that behind it is
neither kept nor looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import DynamicCache

from harness.engine.batches import Budget, longest_first
from harness.engine.products import fast_products
from harness.engine.rows import Text, different
from harness.engine.slots import Slots, width
from harness.engine.virtual_tokens import Opened, opened

PADDING = 32
"""Tokens by which a text may be padded to be read with others: a call of its own costs as much as reading this many."""

BEGINNING = 32
"""Tokens that all texts must share before these are read once for all."""

IDLE = 4
"""One row in so many has to be free before texts enter: one call for several is cheaper than a few idle rows."""


class Entering:
    """Rows in slots: ``most`` at most, of ``held`` tokens at most, which is what memory should hold of them."""

    def __init__(
        self, module: Any, texts: Sequence[Text], *, pad_id: int, budget: Budget, held: int, most: int
    ) -> None:
        self.pad_id, self.budget, self.held = pad_id, budget, held
        self.most = min(most, budget.rows or most)
        start = opened(module, 1)
        self.virtual = start.length
        self.shared = shared_beginning([text.ids for text in texts])
        self.start = start
        if self.shared:
            _, cache = read(start, [texts[0].ids[: self.shared]], pad_id)
            length = start.length + self.shared
            cache.crop(length - cache.get_seq_length())
            self.start = Opened(start.module, cache, length)
        self.reaches: list[int] = []
        self.wanted = 1
        self.slots: Slots | None = None

    def admits(self, waiting: Sequence[Text]) -> int:
        """As many as there is room for, once it is a good part of all."""
        rows = self._room(max([text.reach for text in waiting[:1]] + self.reaches))
        if self.slots is not None and rows < 2 * self.slots.rows:
            rows = min(rows, self.slots.rows)  # not worth other slots yet
        self.wanted = min(rows, len(self.reaches) + len(waiting))
        free = self.wanted - len(self.reaches)
        return free if not self.reaches or free >= min(len(waiting), rows / IDLE) else 0

    def _room(self, reach: int) -> int:
        return max(1, min(self.most, self.held // (self.virtual + reach)))

    @torch.inference_mode()
    def enter(self, texts: Sequence[Text]) -> torch.Tensor:
        """See ``Rows``; equal texts are read once."""
        unread, which = different(texts)
        reaches = self.reaches + [text.reach for text in texts]
        first = len(self.reaches)
        found = [torch.empty(0)] * len(unread)
        for group in longest_first([len(ids) for ids in unread], self.budget, _of_like_length):
            logits, cache = read(self.start, [unread[at][self.shared :] for at in group], self.pad_id)
            slots = self._slots(cache, max(self.wanted, len(reaches)), self.virtual + max(reaches))
            for taken, at in enumerate(group):
                found[at] = logits[taken]
                for row in (row for row, its in enumerate(which, start=first) if its == at):
                    slots.write(row, cache, taken, self.virtual + len(unread[at]))
        slots.lengths += [self.virtual + len(text.ids) for text in texts]
        self.reaches = reaches
        return torch.stack([found[at] for at in which])

    def _slots(self, like: Any, rows: int, columns: int) -> Slots:
        """Slots for so many rows of so many columns, with the rows that are there already."""
        if self.slots is None or rows > self.slots.rows or columns > self.slots.columns:
            self.slots = Slots(like, rows, columns, self.slots)
        return self.slots

    @torch.inference_mode()
    def take(self, newest: Sequence[int]) -> torch.Tensor:
        """See ``Rows``."""
        assert self.slots is not None, "there are rows"
        mask, positions = self.slots.next_token()
        ids = torch.tensor(newest, device=positions.device)[:, None]
        logits, _ = _forward(self.start.module, ids, mask, positions, self.slots.cache, 1)
        self.slots.has_taken()
        return logits[:, -1]

    @torch.inference_mode()
    def keep(self, rows: Sequence[int]) -> list[int]:
        """See ``Rows``."""
        assert self.slots is not None, "there are rows"
        order = self.slots.keep(rows)
        self.reaches = [self.reaches[row] for row in order]
        return order


def _of_like_length(rows: int, width: int, length: int) -> bool:  # noqa: ARG001 - the signature of Joins
    return width - length <= PADDING


def shared_beginning(texts: Sequence[tuple[int, ...]]) -> int:
    """How many tokens all texts begin with, if they are worth it; each text has at least one beyond them."""
    # Of all texts in their order, no two are less alike than the first and the last one.
    low, high = min(texts), max(texts)
    most = min(map(len, texts)) - 1 if low != high else 0
    alike = next((at for at in range(most) if low[at] != high[at]), most)
    return alike if alike >= BEGINNING else 0


@torch.inference_mode()
def read(start: Opened, texts: Sequence[Sequence[int]], pad_id: int) -> tuple[torch.Tensor, Any]:
    """Read texts on from a start: the logits after the last token of each, and a cache whose rows begin at column 0."""
    device = start.module.device
    columns = width(max(map(len, texts)))
    ids = [list(text) + [pad_id] * (columns - len(text)) for text in texts]
    seen = [[1] * (start.length + len(text)) + [0] * (columns - len(text)) for text in texts]
    # What is behind a text takes its last position once more: the next one may be beyond those that the model has.
    last = torch.tensor([[len(text) - 1] for text in texts], device=device)
    positions = start.length + torch.arange(columns, device=device).minimum(last)
    cache = DynamicCache(config=start.module.config) if start.cache is None else start.cache_of(len(texts))
    ends = torch.unique(last)
    logits, cache = _forward(
        start.module,
        torch.tensor(ids, device=device),
        torch.tensor(seen, device=device),
        positions,
        cache,
        ends,
    )
    return logits[torch.arange(len(texts)), torch.searchsorted(ends, last)[:, 0]], cache


def _forward(
    module: Any, ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor, cache: Any, ends: Any
) -> tuple[torch.Tensor, Any]:
    with fast_products(module):
        out = module(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=ends,
        )
    return out.logits, out.past_key_values
