"""What a model can do with rows that share something: found out by trying, and remembered beside its weights."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

CANNOT = (RuntimeError, ValueError, TypeError, IndexError, KeyError, AttributeError, NotImplementedError)
"""What a model cannot do it refuses by whatever error its code runs into."""


class Way(enum.IntEnum):
    """How much a model lets its rows share, from least to most."""

    NOTHING = 0
    BEGINNINGS = 1
    TREES = 2


@dataclass
class Sharing:
    """How much a model lets its rows share; ``tried`` has each kind of sharing that was right, and how far it reached.

    That is: the longest path, and the most columns of a row, those in its cache counted.

    ``token_bytes`` is how much memory a token takes whose row may enter a running batch: 0 where that cannot be, None
    before it has been tried.
    """

    way: Way = Way.TREES
    tried: dict[tuple[bool, bool], tuple[int, int]] = field(default_factory=dict)
    token_bytes: int | None = None
