"""The rows of a step that went wrong: where each stands in the data, what it says, and whether it alone goes wrong."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from transformers import Trainer

SHOWN_ROWS = 4
SHOWN_CHARACTERS = 60


@dataclass(frozen=True)
class StepRow:
    """``index`` counts from 0 in the trainer's own data, None where a row was packed with others.

    ``alone_finite`` tells whether the row alone has a loss that is a number; None where it was not tried.
    """

    index: int | None
    text: str
    alone_finite: bool | None = None


def rows_of(trainer: Trainer, batch: Mapping[str, Any]) -> list[StepRow]:
    """The rows that a batch was collated from, in its order."""
    known = {tuple(ids): index for index, ids in reversed(list(enumerate(trainer.train_dataset["input_ids"])))}
    tokenizer: Any = trainer.processing_class
    return [
        StepRow(known.get(tuple(ids)), " ".join(tokenizer.decode(ids).split())[:SHOWN_CHARACTERS])
        for ids in _ids(batch)
    ]


def tried_alone(trainer: Trainer, batch: Mapping[str, Any]) -> list[StepRow]:
    """The rows of a batch, each asked for its loss with the weights as they are, unless documents share a row."""
    rows = rows_of(trainer, batch)
    if len(rows) != batch["input_ids"].shape[0]:
        return rows
    return [replace(row, alone_finite=_is_finite_alone(trainer, batch, place)) for place, row in enumerate(rows)]


def named(rows: Sequence[StepRow]) -> str:
    """Rows for a sentence: the first few by index and first words."""
    shown = [f"row {'?' if row.index is None else row.index} ({row.text!r})" for row in rows[:SHOWN_ROWS]]
    more = len(rows) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")


def _ids(batch: Mapping[str, Any]) -> Iterator[list[int]]:
    """Ids without padding; rows that were laid end to end are told apart by their positions."""
    ids, mask, positions = batch["input_ids"], batch.get("attention_mask"), batch.get("position_ids")
    if mask is not None and mask.dim() == 2:
        yield from (row[seen.bool()].tolist() for row, seen in zip(ids, mask, strict=True))
        return
    for place, row in enumerate(ids):
        starts = (positions[place] == 0).nonzero().flatten().tolist() if positions is not None else [0]
        yield from (row[start:end].tolist() for start, end in zip(starts, [*starts[1:], len(row)], strict=True))


def _is_finite_alone(trainer: Trainer, batch: Mapping[str, Any], place: int) -> bool:
    rows = batch["input_ids"].shape[0]
    one = {
        key: value[place : place + 1] if torch.is_tensor(value) and value.shape[:1] == (rows,) else value
        for key, value in batch.items()
    }
    with torch.no_grad():
        prepared: Any = trainer._prepare_inputs(one)  # the device and dtype that the trainer itself would choose
        return math.isfinite(float(trainer.compute_loss(trainer.model, prepared)))
