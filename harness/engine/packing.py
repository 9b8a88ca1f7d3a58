"""What is read together: which beginnings are read once and kept, and which rows go on from each of them.

A row of a batch holds one path, or, where the model can read it under a mask, a whole subtree whose paths share the
row's first tokens. A subtree that is too large for a row has its shared beginning read once, into a cache that all its
rows go on from; where that is not worth a call of its own, the beginning is read in each of the rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from harness.engine.batches import Budget, longest_first
from harness.engine.prefix_tree import Paths
from harness.engine.sharing import Way

WIDTH = 256
"""Tokens of a row that holds a subtree. Attention costs a row's width for each of its tokens, seen or masked: at this
width a few percent of the whole, in models of any size."""

CALL = 64
"""Tokens that must be saved for a call of its own: reading few tokens costs as much as reading this many."""

BUSY, PADDING = 256, 0.1
"""From this many tokens on a batch takes no row of which more than this share would be padding."""

CACHE = 4
"""How many times as many tokens as a batch computes it may hold in its cache."""


@dataclass(frozen=True)
class Row:
    """The paths ``[low, high)`` beyond the tokens that were read before: ``size`` tokens in all."""

    low: int
    high: int
    size: int
    branches: bool


@dataclass
class Reading:
    """Tokens ``[start, stop)`` of paths ``[low, high)`` are read once; ``rows`` and ``inner`` go on from there."""

    low: int
    high: int
    start: int
    stop: int
    rows: list[Row] = field(default_factory=list)
    inner: list[Reading] = field(default_factory=list)


def plan(paths: Paths, way: Way) -> Reading:
    """Cut the tree into rows; the outermost reading has no tokens."""
    root = Reading(0, len(paths.ids), 0, 0)
    waiting = [(root, *interval) for interval in paths.children(0, len(paths.ids), 0)] if paths.ids else []
    while waiting:
        reading, low, high = waiting.pop()
        common = paths.common(low, high)
        if _is_a_row(paths, low, high, reading.stop, way):
            reading.rows.append(_row(paths, low, high, reading.stop))
        elif _is_worth_a_call(paths, low, high, common, reading.stop, way):
            inner = Reading(low, high, reading.stop, common)
            reading.inner.append(inner)
            waiting += [(inner, *interval) for interval in _joined(paths, low, high, inner.stop, common, way)]
        else:
            waiting += [(reading, *interval) for interval in _joined(paths, low, high, reading.stop, common, way)]
    return root


@dataclass(frozen=True)
class Step:
    """One call: the tokens of a reading, or where there are ``rows``, a batch of them that goes on from there."""

    depth: int
    reading: Reading
    rows: tuple[Row, ...] = ()


def steps(reading: Reading, budget: Budget, depth: int = 0) -> Iterator[Step]:
    """The calls of a plan, each after the reading that it goes on from; the longest rows of each first."""
    yield Step(depth, reading)
    for branching in (False, True):
        rows = [row for row in reading.rows if row.branches is branching]
        yield from (Step(depth, reading, batch) for batch in _batches(rows, reading.stop, budget))
    for inner in reading.inner:
        yield from steps(inner, budget, depth + 1)


def _batches(rows: Sequence[Row], read: int, budget: Budget) -> Iterator[tuple[Row, ...]]:
    """Rows of like size together; ``read`` is how many tokens each of them has in its cache."""
    ordered = sorted(rows, key=lambda row: row.low)

    def joins(count: int, width: int, size: int) -> bool:
        held = not read or count * (read + width) <= CACHE * budget.tokens
        # A batch of few tokens takes any row, and spares a call.
        return held and ((count - 1) * width < BUSY or size >= (1 - PADDING) * width)

    for batch in longest_first([row.size for row in ordered], budget, joins):
        yield tuple(ordered[index] for index in batch)


def _is_a_row(paths: Paths, low: int, high: int, read: int, way: Way) -> bool:
    fits = way is Way.TREES and paths.size(low, high, read) <= WIDTH
    return fits or not paths.branches(low, high)


def _is_worth_a_call(paths: Paths, low: int, high: int, common: int, read: int, way: Way) -> bool:
    """Whether reading what the paths share once saves more than it costs, against reading it in each of their rows."""
    if way is Way.NOTHING:
        return False
    rows = sum(1 for _ in _joined(paths, low, high, read, common, way))
    return (common - read) * (rows - 1) >= CALL


def _joined(paths: Paths, low: int, high: int, read: int, common: int, way: Way) -> Iterator[tuple[int, int]]:
    """The children of an interval; where they share much, side by side in rows that are about equally wide."""
    total = paths.size(low, high, read)
    enough = total / math.ceil(total / WIDTH) if way is Way.TREES and common >= CALL else 0
    start = low
    for begin, end in paths.children(low, high, common):
        full = start < begin and (paths.size(start, begin, read) >= enough or paths.size(start, end, read) > WIDTH)
        if full:
            yield start, begin
            start = begin
    yield start, high


def _row(paths: Paths, low: int, high: int, read: int) -> Row:
    return Row(low, high, paths.size(low, high, read), paths.branches(low, high))
