"""Faults between prepared rows and the model: a collator that makes labels of its own, columns that get lost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from transformers import DataCollatorForLanguageModeling
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling as TrlCollator

from harness.chat.template import encode
from harness.zoo.exhibit import Fault, Setup
from harness.zoo.parts import CHATML, ROWS, labelled, plain_trainer, sft_trainer, tokenizer_with

Collator = Callable[[Sequence[Mapping[str, Any]]], Any]

IGNORED = -100


def _by_id(tokenizer: Any) -> Any:
    """Labels are the ids, but those of the padding token, whatever the row brings."""
    return DataCollatorForLanguageModeling(tokenizer, mlm=False)


def _by_length(tokenizer: Any) -> Any:
    """Labels are the ids, padded where a row has ended; those that the row brings stay as they are."""
    return TrlCollator(tokenizer.pad_token_id)


def _padded_with_the_end(collator: Callable[[Any], Collator]) -> Setup:
    """Conversations that are learned whole, by a tokenizer that has one token to end turns and to pad."""
    tokenizer = tokenizer_with(CHATML, special=("<|im_start|>",), eos="<|im_end|>")
    tokenizer.pad_token = tokenizer.eos_token
    prepared = [{"input_ids": encode(tokenizer, row["messages"])} for row in ROWS]
    trainer = plain_trainer(tokenizer, prepared, collator(tokenizer))
    return Setup(trainer=trainer, rows=ROWS, options={"supervised": "whole row"})


def _answers(tokenizer: Any) -> list[dict[str, list[int]]]:
    """Prepared rows of which the last answer is learned."""
    prepared = []
    for row in ROWS:
        ids = encode(tokenizer, row["messages"])
        start = len(encode(tokenizer, row["messages"][:-1], generation_prompt=True))
        prepared.append(labelled(ids, range(start, len(ids))))
    return prepared


def _answers_collated(collator: Callable[[Any], Collator]) -> Setup:
    tokenizer = tokenizer_with(CHATML)
    trainer = plain_trainer(tokenizer, _answers(tokenizer), collator(tokenizer), per_device_train_batch_size=1)
    return Setup(trainer=trainer, rows=ROWS)


def _shifting(tokenizer: Any) -> Collator:
    """Labels are the next token's, as a model needs them that does not shift; those of transformers do."""

    def collate(rows: Sequence[Mapping[str, Any]]) -> Any:
        shifted = [{**row, "labels": [*row["labels"][1:], IGNORED]} for row in rows]
        return _by_length(tokenizer)(shifted)

    return collate


def _pruned(kept: Sequence[str]) -> Setup:
    """What trl makes of rows whose answers alone are to be learned, with these of its columns kept."""
    trainer = sft_trainer()
    trainer.train_dataset = trainer.train_dataset.select_columns(list(kept))
    return Setup(trainer=trainer, rows=ROWS)


def _evaluated_on(columns: Sequence[str]) -> Setup:
    """Training rows with a mask, and evaluation rows with these of their columns."""
    trainer = sft_trainer()
    trainer.eval_dataset = trainer.train_dataset.select_columns(list(columns))
    return Setup(trainer=trainer, rows=ROWS)


FAULTS = (
    Fault(
        id="mask-01",
        name="The collator takes the end of a turn for padding, since both are one token",
        source="huggingface/transformers#23530",
        inject=lambda: _padded_with_the_end(_by_id),
        caught_by=("mask/some_row_teaches_the_model_to_stop",),
        twin=lambda: _padded_with_the_end(_by_length),
        where="in the collator; trl's own pads by length",
    ),
    Fault(
        id="mask-03",
        name="The collator makes labels anew of the ids, and the mask is gone",
        source="oobabooga/textgen#4031",
        inject=lambda: _answers_collated(_by_id),
        caught_by=("mask/the_collator_leaves_labels_as_they_were_prepared",),
        twin=lambda: _answers_collated(_by_length),
        where="in batches of one row; on larger ones this collator fails today",
    ),
    Fault(
        id="mask-12",
        name="The column of the mask is dropped on the way to the collator",
        source="huggingface/trl#3781",
        inject=lambda: _pruned(["input_ids"]),
        caught_by=("mask/content_and_terminator_of_every_turn_are_supervised_and_nothing_else",),
        twin=lambda: _pruned(["input_ids", "labels"]),
        where="in the columns of the prepared set; trl keeps what it needs",
    ),
    Fault(
        id="mask-21",
        name="Labels are shifted by the collator, and once more by the model",
        source="huggingface/transformers#47394",
        inject=lambda: _answers_collated(_shifting),
        caught_by=("mask/labels_are_the_ids_and_are_shifted_by_the_model_alone",),
        twin=lambda: _answers_collated(_by_length),
        where="in the collator",
    ),
    Fault(
        id="mask-39",
        name="Evaluation counts all tokens, training the answers alone",
        source="no public report known",
        inject=lambda: _evaluated_on(["input_ids"]),
        caught_by=("mask/evaluation_rows_are_supervised_alike",),
        twin=lambda: _evaluated_on(["input_ids", "labels"]),
    ),
)
