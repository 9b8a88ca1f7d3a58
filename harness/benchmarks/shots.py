"""Which rows stand before an item as its shots: the draws of lm-eval's samplers, by its seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

from harness.benchmarks.record import Draw, Row
from harness.errors import UsageError

SEED = 1234
"""lm-eval's own; each task, and each subject of a set, starts from it."""


def shot_indexes(draw: Draw, n: int, pool: Sequence[Row], items: Sequence[Row], where: str) -> Iterator[list[int]]:
    """Yield, for each item in its order, the places in the pool of its ``n`` shots.

    Raises UsageError where the pool is too small; ``where`` names it.
    """
    needed = n + (draw == "random others")
    if n and len(pool) < needed:
        raise UsageError(f"{where} holds {len(pool)} rows, too few to draw {n} shots from; ask with fewer.")
    generator = Random(SEED)
    for item in items:
        match draw:
            case "first":
                yield list(range(n))
            case "random":
                yield generator.sample(range(len(pool)), n)
            case "random others":
                yield _others(generator, n, pool, item, where)


def _others(generator: Random, n: int, pool: Sequence[Row], item: Row, where: str) -> list[int]:
    """One more is drawn than is needed, so that the item can be left out; where it has copies, all is drawn again."""
    drawn = [index for index in generator.sample(range(len(pool)), n + 1) if pool[index] != item] if n else []
    if len(drawn) >= n:
        return drawn[:n]
    others = [index for index, row in enumerate(pool) if row != item]
    if len(others) < n:
        raise UsageError(f"{where} holds {len(others)} rows beside an item's own copies, too few for {n} shots.")
    return generator.sample(others, n)
