"""Keys and values of rows that stand at different places, written where they stay.

transformers' own cache keeps rows of one length and copies all of it for every new token. Here a row's tokens stand in
the columns from 0 on; a mask over columns says how far it has come. So rows come and go, none has padding before it,
and what a row attends to stands at the same place whoever else is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import Cache, DynamicCache
from transformers.cache_utils import CacheLayerMixin, DynamicLayer

ROUND = 16
"""Columns are read in multiples of this many: how a sum over them is put together depends on their number."""


def is_plain(cache: Any) -> bool:
    """Whether every layer of a cache just keeps all keys and values, so that rows of it may stand in slots."""
    return type(cache) is DynamicCache and all(type(layer) is DynamicLayer for layer in cache.layers)


def token_bytes(cache: DynamicCache) -> int:
    """How many bytes a plain cache keeps of each token of a row."""
    tensors = [each for layer in cache.layers for each in (layer.keys, layer.values)]
    return sum(each.shape[1] * each.shape[3] * each.element_size() for each in tensors)


def width(longest: int) -> int:
    """How many columns are looked at where the longest row has so many tokens: one at least that no row sees.

    torch attends by another way, in other last bits, where nothing is masked.
    """
    return (longest // ROUND + 1) * ROUND


@dataclass
class _Places:
    """Where the next token of each row goes: ``columns[row]``; ``width`` columns are read, those beyond masked."""

    rows: torch.Tensor
    columns: torch.Tensor
    width: int


class _Layer(CacheLayerMixin):  # type: ignore[misc]  # transformers has no types
    """The slots of one layer; ``keys`` and ``values`` have shape (slots, heads, columns, size)."""

    def __init__(self, keys: torch.Tensor, values: torch.Tensor, places: _Places) -> None:
        super().__init__()
        self.keys, self.values, self.places = keys, values, places
        self.is_initialized = True

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Nothing is left to do: slots are made for a model that has shown its keys and values."""

    def update(
        self,
        key_states: torch.Tensor,
        value_states: torch.Tensor,
        *_: Any,
        **__: Any,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write one token of every row, and return what its query may look at."""
        at = self.places
        self.keys[at.rows, :, at.columns] = key_states[:, :, 0]
        self.values[at.rows, :, at.columns] = value_states[:, :, 0]
        return self.keys[: len(at.rows), :, : at.width], self.values[: len(at.rows), :, : at.width]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:  # noqa: ARG002 - transformers calls it so
        """All columns that are read; what each row sees of them is said by the mask that comes with its token."""
        return self.places.width, 0

    def get_seq_length(self) -> int:
        """The place of the newest token among the columns is the last one, so that order forbids none of them."""
        return self.places.width - 1

    def get_max_length(self) -> int:
        """As transformers has it for a cache that grows."""
        return -1


class Slots:
    """``rows`` slots of ``columns`` tokens each, in the shapes of a filled plain cache, and what ``old`` slots hold."""

    def __init__(self, like: Any, rows: int, columns: int, old: Slots | None = None) -> None:
        self.rows, self.columns = rows, width(columns)
        self.least = 0  # columns that are read at least; only a trial wants more than there is to see
        self.lengths: list[int] = [*old.lengths] if old else []
        self.device = like.layers[0].keys.device
        self.places = _Places(torch.empty(0), torch.empty(0), 0)
        self.cache = Cache(layers=[self._layer(layer) for layer in like.layers])
        if old:
            for row, length in enumerate(old.lengths):
                self.write(row, old.cache, row, length)

    def _layer(self, like: Any) -> _Layer:
        # Zeros, because what is masked is still multiplied, and memory that nobody has written may hold a NaN.
        shapes = [(self.rows, each.shape[1], self.columns, each.shape[3]) for each in (like.keys, like.values)]
        keys, values = (like.keys.new_zeros(shape) for shape in shapes)
        return _Layer(keys, values, self.places)

    def write(self, row: int, cache: Any, taken: int, length: int) -> None:
        """Copy the first ``length`` columns of a row of another cache into this row."""
        for mine, other in zip(self.cache.layers, cache.layers, strict=True):
            mine.keys[row, :, :length] = other.keys[taken, :, :length]
            mine.values[row, :, :length] = other.values[taken, :, :length]

    def keep(self, rows: Sequence[int]) -> list[int]:
        """Let the other rows leave; returns which of the rows stands where now, since the last ones fill the gaps."""
        count = len(rows)
        gaps = sorted(set(range(count)) - set(rows))
        order = list(range(count))
        for gap, moved in zip(gaps, [row for row in rows if row >= count], strict=True):
            order[gap] = moved
            self.write(gap, self.cache, moved, self.lengths[moved])
        self.lengths = [self.lengths[row] for row in order]
        return order

    def next_token(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Make ready for a token of every row: its mask over columns, and its position."""
        columns = torch.tensor(self.lengths, device=self.device)
        self.places.rows = torch.arange(len(columns), device=self.device)
        self.places.columns = columns
        self.places.width = max(width(max(self.lengths) + 1), self.least)
        seen = torch.arange(self.places.width, device=self.device) <= columns[:, None]
        return seen.long(), columns[:, None]

    def has_taken(self) -> None:
        """The token of every row is in its place."""
        self.lengths = [length + 1 for length in self.lengths]
