"""Token sequences and what they share: a prefix tree without nodes, as sorted paths and what neighbours have in common.

In sorted order the paths under any node of the tree are neighbours, so a subtree is an interval ``[low, high)``, and
the tokens that a path adds to it are those beyond what it shares with the path before.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np

Ids = tuple[int, ...]


@dataclass(frozen=True)
class Paths:
    """Distinct paths in sorted order; ``shared[i]`` counts the first tokens that path i has in common with path i-1."""

    ids: tuple[Ids, ...]
    shared: tuple[int, ...]
    _added: tuple[int, ...]

    def common(self, low: int, high: int) -> int:
        """How many first tokens all these paths have in common."""
        return min((len(self.ids[low]), *self.shared[low + 1 : high]))

    def size(self, low: int, high: int, read: int) -> int:
        """How many tokens of the tree these paths have beyond their first ``read``, which they share."""
        return len(self.ids[low]) - read + self._added[high] - self._added[low + 1]

    def branches(self, low: int, high: int) -> bool:
        """Whether two of these paths part; else each goes on where the one before ended."""
        return any(self.shared[at] < len(self.ids[at - 1]) for at in range(low + 1, high))

    def children(self, low: int, high: int, depth: int) -> Iterator[tuple[int, int]]:
        """The intervals into which these paths part after ``depth`` tokens, which they share."""
        cuts = [low, *(at for at in range(low + 1, high) if self.shared[at] <= depth), high]
        return pairwise(cuts)


def paths_of(sequences: Sequence[Ids]) -> Paths:
    """The tree of these sequences, each counted once."""
    ids = sorted(set(sequences))
    arrays = [np.asarray(path, dtype=np.int64) for path in ids]
    shared = [0, *map(_in_common, arrays, arrays[1:])] if ids else []
    added = accumulate((len(path) - known for path, known in zip(ids, shared, strict=True)), initial=0)
    return Paths(tuple(ids), tuple(shared), tuple(added))


def _in_common(one: np.ndarray, other: np.ndarray) -> int:
    length = min(len(one), len(other))
    differ = one[:length] != other[:length]
    return int(differ.argmax()) if differ.any() else length
