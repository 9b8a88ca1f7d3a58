"""A batch of rows as tensors: ids, positions that go on along each path, and who sees whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from harness.engine.packing import Row
from harness.engine.prefix_tree import Paths


@dataclass(frozen=True)
class Layout:
    """One row: its ``ids``, their ``positions`` in their paths, and the columns of the tokens of each of its paths.

    ``sees`` has shape (size, size) and tells which of the row's own tokens come before a token on its path; None where
    that is all the tokens on its left.
    """

    ids: np.ndarray
    positions: np.ndarray
    columns: tuple[np.ndarray, ...]
    sees: np.ndarray | None


def layout(paths: Paths, row: Row, read: int, stop: int | None = None) -> Layout:
    """Lay the paths of a row side by side, from their token ``read``, before which all are alike, up to ``stop``."""
    ids = np.empty(row.size, dtype=np.int64)
    positions = np.empty(row.size, dtype=np.int64)
    sees = np.zeros((row.size, row.size), dtype=bool) if row.branches else None
    columns: list[np.ndarray] = []
    filled = 0
    for at in range(row.low, row.high):
        path = paths.ids[at][:stop]
        before = columns[-1][: paths.shared[at] - read] if columns else np.empty(0, dtype=np.int64)
        known = read + len(before)
        new = np.arange(filled, filled + len(path) - known)
        filled += len(new)
        ids[new] = path[known:]
        positions[new] = np.arange(known, len(path))
        columns.append(np.concatenate([before, new]))
        if sees is not None:
            sees[np.ix_(new, before)] = True
            sees[np.ix_(new, new)] = np.tri(len(new), dtype=bool)
    return Layout(ids, positions, tuple(columns), sees)


def inputs(rows: Sequence[Layout], cached: int, read: int, pad_id: int, like: Any) -> dict[str, torch.Tensor]:
    """What the model is called with, rows padded on the right.

    ``cached`` counts what each row has in the cache: virtual tokens, and the ``read`` first tokens of its paths. Where
    no row branches, the model makes its own causal mask of a mask over tokens. Else it gets the mask of every pair of
    tokens, in the form that is added to attention scores. ``like`` is the module, for device and dtype.
    """
    width = max(len(row.ids) for row in rows)
    ids = np.full((len(rows), width), pad_id)
    for place, row in enumerate(rows):
        ids[place, : len(row.ids)] = row.ids
    given = {"input_ids": torch.from_numpy(ids).to(like.device)}
    if all(row.sees is None for row in rows):
        seen = [[1] * (cached + len(row.ids)) + [0] * (width - len(row.ids)) for row in rows]
        return given | {"attention_mask": torch.tensor(seen, device=like.device)}
    pairs, positions = _pairs(rows, cached, width)
    allowed = torch.from_numpy(pairs).to(like.device)
    blocked = torch.full(allowed.shape, torch.finfo(like.dtype).min, dtype=like.dtype, device=like.device)
    return given | {
        "attention_mask": blocked.masked_fill_(allowed, 0.0),
        "position_ids": torch.from_numpy(positions + cached - read).to(like.device),
    }


def _pairs(rows: Sequence[Layout], cached: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """The mask, of shape (rows, 1, width, cached + width), and the positions; padding sees what is in the cache."""
    pairs = np.zeros((len(rows), 1, width, cached + width), dtype=bool)
    pairs[..., :cached] = True
    positions = np.zeros((len(rows), width), dtype=np.int64)
    for place, row in enumerate(rows):
        size = len(row.ids)
        pairs[place, 0, :size, cached : cached + size] = row.sees
        positions[place, :size] = row.positions
    return pairs, positions
