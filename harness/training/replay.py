"""General rows replayed among the rows of the task: how many is counted in tokens, as the run consumes them."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datasets import Dataset

TASK, GENERAL = "task", "general"


@dataclass(frozen=True)
class Mixture:
    """The rows of a whole run in the order in which they are consumed.

    ``order`` holds (source, index into that source's prepared rows). ``tokens`` and ``supervised`` count by source,
    over the whole run. ``repeated`` is how many general rows come more than once.
    """

    order: tuple[tuple[str, int], ...]
    tokens: Mapping[str, int]
    supervised: Mapping[str, int]
    repeated: int

    @property
    def share(self) -> float:
        """The share of the consumed tokens that is general."""
        return self.tokens[GENERAL] / sum(self.tokens.values())

    def record(self) -> dict[str, Any]:
        """What the manifest says of it."""
        return {
            "share": round(self.share, 4),
            "tokens": dict(self.tokens),
            "supervised_tokens": dict(self.supervised),
            "general_rows_repeated": self.repeated,
        }


def mix(task: Dataset, general: Dataset, *, share: float, epochs: float, seed: int) -> Mixture:
    """Plan a run of ``epochs`` passes over the task's rows with a share of general tokens spread evenly among them.

    Each pass over the task, and over the general rows, is in a random order of its own; no general row comes again
    before all have come.
    """
    draw = random.Random(seed)
    lengths = {TASK: _lengths(task), GENERAL: _lengths(general)}
    mine = list(_passes(len(task), epochs, draw))
    wanted = sum(lengths[TASK][row] for row in mine) * share / (1.0 - share)
    others = list(_until(wanted, lengths[GENERAL], draw))
    order = tuple(_interleaved(mine, others, lengths))
    learned = {TASK: _supervised(task), GENERAL: _supervised(general)}
    return Mixture(
        order,
        {source: sum(lengths[source][row] for each, row in order if each == source) for source in lengths},
        {source: sum(learned[source][row] for each, row in order if each == source) for source in learned},
        len(others) - len(set(others)),
    )


def mixed_rows(task: Dataset, general: Dataset, mixture: Mixture) -> Dataset:
    """The prepared rows in the mixture's order, with the ``source`` of each."""
    from datasets import Dataset

    parts = {TASK: task, GENERAL: general}
    kept = [name for name in ("input_ids", "labels", "position_ids", "seq_lengths") if name in task.column_names]
    held = {source: part.select_columns(kept).to_list() for source, part in parts.items()}
    return Dataset.from_list([held[source][row] | {"source": source} for source, row in mixture.order])


def _passes(rows: int, epochs: float, draw: random.Random) -> Iterator[int]:
    for number in range(math.ceil(epochs)):
        order = draw.sample(range(rows), rows)
        yield from order[: round(rows * min(1.0, epochs - number))]


def _until(wanted: float, lengths: Sequence[int], draw: random.Random) -> Iterator[int]:
    """General rows, pass after pass, until their tokens are as near to what is wanted as a whole row allows."""
    reached = 0
    while reached < wanted:
        for row in draw.sample(range(len(lengths)), len(lengths)):
            if reached + lengths[row] / 2 > wanted:
                return
            yield row
            reached += lengths[row]


def _interleaved(
    mine: Sequence[int], others: Sequence[int], lengths: Mapping[str, Sequence[int]]
) -> Iterator[tuple[str, int]]:
    """Both in their own order, so that at every point both are used up to the same share of their tokens."""
    total = sum(lengths[TASK][row] for row in mine), sum(lengths[GENERAL][row] for row in others)
    done, waiting = [0, 0], list(reversed(others))
    for row in mine:
        while waiting and done[1] * total[0] < done[0] * total[1]:
            done[1] += lengths[GENERAL][waiting[-1]]
            yield GENERAL, waiting.pop()
        done[0] += lengths[TASK][row]
        yield TASK, row
    yield from ((GENERAL, row) for row in reversed(waiting))


def _lengths(rows: Dataset) -> list[int]:
    return [len(ids) for ids in rows["input_ids"]]


def _supervised(rows: Dataset) -> list[int]:
    return [sum(label != -100 for label in labels) for labels in rows["labels"]]
