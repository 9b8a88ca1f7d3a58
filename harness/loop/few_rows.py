"""A few short rows of a training set, of unlike length, that a model can be run on in passing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from harness.inspection.batches import IGNORED, LONGEST_RUN, collated_as
from harness.loop.looked_at import Loop

LOOKED_AT = 64
"""Prepared rows that are looked at, from the first on: collating them costs next to nothing."""


@dataclass(frozen=True)
class Row:
    """A prepared row, its place in the set, and how many tokens it has and how many are learned of it.

    ``inputs`` is what the collator makes of it alone.
    """

    number: int
    prepared: Mapping[str, Any]
    inputs: Mapping[str, Any]
    tokens: int
    targets: int


def few_rows(loop: Loop, count: int) -> list[Row]:
    """At most ``count`` of the shorter rows that have something to learn, from the fewest targets to the most.

    Together they have at most ``LONGEST_RUN`` tokens, unless two of them have more.
    """
    short = sorted(_candidates(loop), key=lambda row: row.tokens)[: max(2 * count, LOOKED_AT // 2)]
    ordered = sorted(short, key=lambda row: row.targets)
    for number in range(min(count, len(ordered)), 1, -1):
        chosen = [ordered[round(i * (len(ordered) - 1) / (number - 1))] for i in range(number)]
        if sum(row.tokens for row in chosen) <= LONGEST_RUN:
            return chosen
    shortest = sorted(short[:2], key=lambda row: row.targets)
    return shortest if count > 1 else short[:1]


def _candidates(loop: Loop) -> Iterator[Row]:
    """Rows with targets whose ids have an embedding; where they have not, another case says so."""
    rows = list(islice(chain.from_iterable(batch.features for batch in loop.seen.batches), LOOKED_AT))
    known = int(loop.trainer.model.get_input_embeddings().weight.shape[0])
    for number, inputs in enumerate(collated_as(loop.trainer, [[row] for row in rows])):
        # The first label has no logits before it.
        targets = int((inputs["labels"][..., 1:] != IGNORED).sum())
        if targets and int(inputs["input_ids"].max()) < known:
            yield Row(number, rows[number], inputs, inputs["input_ids"].numel(), targets)
