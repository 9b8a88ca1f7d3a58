"""Faults of remedies against forgetting: replay that is another share than planned, EWC that holds nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from datasets import Dataset, concatenate_datasets
from transformers import DataCollatorForSeq2Seq

from harness.chat.template import encode
from harness.training.ewc import ElasticWeights, row_loss, weights_of
from harness.training.replay import mix, mixed_rows
from harness.zoo.exhibit import Fault, Setup
from harness.zoo.parts import CHATML, ROWS, loop_of, plain_trainer, tokenizer_with

MIXED = "training/rows_are_mixed_as_planned"
PENALTY = "training/the_ewc_penalty_is_its_formula"
FISHER = "training/the_fisher_is_the_mean_of_squared_gradients"
SHARE = 0.1


def _trainer(rows: Dataset | None = None) -> Any:
    tokenizer = tokenizer_with(CHATML)
    prepared = (_chats(tokenizer) if rows is None else rows).to_list()
    collator = DataCollatorForSeq2Seq(tokenizer)
    return plain_trainer(tokenizer, prepared, collator, learning_rate=1e-3, remove_unused_columns=True)


def _chats(tokenizer: Any) -> Dataset:
    ids = [encode(tokenizer, row["messages"]) for row in ROWS] * 40
    return Dataset.from_list([{"input_ids": each, "labels": each} for each in ids])


def _texts(tokenizer: Any) -> Dataset:
    """General rows, several times as long as those of the task."""
    ids = tokenizer("The gate opens at noon. A fox may cross the garden before the rain begins. " * 6)["input_ids"]
    return Dataset.from_list([{"input_ids": [*ids, n], "labels": [*ids, n]} for n in range(40)])


def _replayed(counted_in_tokens: bool) -> Setup:
    tokenizer = tokenizer_with(CHATML)
    task, general = _chats(tokenizer), _texts(tokenizer)
    if counted_in_tokens:
        rows = mixed_rows(task, general, mix(task, general, share=SHARE, epochs=1, seed=0))
    else:
        few = general.select(range(round(len(task) * SHARE / (1 - SHARE))))
        named = [part.add_column("source", [name] * len(part)) for name, part in (("task", task), ("general", few))]
        rows = concatenate_datasets(named).shuffle(seed=0)
    trainer = _trainer(rows)
    trainer.planned_shares = {"general": SHARE}
    return Setup(loop=loop_of(trainer))


class _SameWeights(ElasticWeights):
    """Keeps the weights themselves in the place of copies, so they never differ from what they are."""

    def __init__(self, trainer: Any, rows: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(100.0, self.estimate(trainer, rows), {})
        self.anchor = {name: weight for name, weight in trainer.model.named_parameters() if weight.requires_grad}


class _SquaredMean(ElasticWeights):
    """One backward pass over all rows, and the square of what comes out."""

    @staticmethod
    def estimate(trainer: Any, rows: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        weights = {name: weight for name, weight in trainer.model.named_parameters() if weight.requires_grad}
        loss = sum((row_loss(trainer, row) for row in rows), torch.zeros(())) / len(rows)
        found = torch.autograd.grad(loss, list(weights.values()))
        return {name: gradient.float() ** 2 for name, gradient in zip(weights, found, strict=True)}


def _held_by(kind: type[ElasticWeights]) -> Setup:
    trainer = _trainer()
    rows = trainer.train_dataset.select(range(4)).to_list()
    if kind is _SameWeights:
        trainer.add_callback(_SameWeights(trainer, rows))
    else:
        trainer.add_callback(kind(100.0, kind.estimate(trainer, rows), weights_of(trainer.model)))
    return Setup(loop=loop_of(trainer))


FAULTS = (
    Fault(
        id="train-30",
        name="A tenth of the rows is replayed, and they are far more than a tenth of the tokens",
        source="huggingface/datasets#7786",
        inject=lambda: _replayed(counted_in_tokens=False),
        caught_by=(MIXED,),
        twin=lambda: _replayed(counted_in_tokens=True),
    ),
    Fault(
        id="train-31",
        name="The EWC penalty compares the weights with themselves",
        source="ContinualAI/avalanche#1099",
        inject=lambda: _held_by(_SameWeights),
        caught_by=(PENALTY,),
        twin=lambda: _held_by(ElasticWeights),
    ),
    Fault(
        id="train-32",
        name="The Fisher information is the square of the mean gradient",
        source="kuc2477/pytorch-ewc#1",
        inject=lambda: _held_by(_SquaredMean),
        caught_by=(FISHER,),
        twin=lambda: _held_by(ElasticWeights),
    ),
)
