"""Rows, masks and batches that are legitimate, each in a way that a rule of thumb would flag."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from transformers import DataCollatorForSeq2Seq

from harness.chat.template import encode
from harness.dataset.rows_and_samples import RowsAndSamples, as_samples
from harness.inspection.stand_in import stand_in_trainer
from harness.zoo.exhibit import Setup, Trap
from harness.zoo.parts import CHATML, MARKED, ROWS, WITH_BOS, learned_whole, plain_trainer, sft_trainer, tokenizer_with

TEXTS = [{"text": "The gate opens at noon and closes at six."}, {"text": "A fox may cross the garden before the rain."}]
BOILERPLATE = {"role": "system", "content": "You answer in short sentences, politely, and without inventing anything."}
WITH_BOILERPLATE = [{"messages": [BOILERPLATE, *row["messages"][-2:]]} for row in ROWS]


def _trl(template: str = MARKED, rows: list[dict[str, Any]] = ROWS, **options: Any) -> Setup:
    return Setup(trainer=sft_trainer(template, rows, **options), rows=rows)


def _padded_with_eos() -> Setup:
    tokenizer = tokenizer_with(MARKED)
    tokenizer.pad_token = tokenizer.eos_token
    return Setup(trainer=stand_in_trainer(tokenizer, ROWS), rows=ROWS)


def _padded_with_the_terminator() -> Setup:
    """The terminator fills up the batches of a plain collator; the labels come from the rows, not from the ids."""
    tokenizer = tokenizer_with(CHATML, eos="<|im_end|>", special=("<|im_start|>",))
    tokenizer.pad_token = tokenizer.eos_token
    prepared = [_answers_learned(tokenizer, row["messages"], every=True) for row in ROWS]
    return Setup(trainer=plain_trainer(tokenizer, prepared, DataCollatorForSeq2Seq(tokenizer)), rows=ROWS)


def _answers_learned(tokenizer: Any, messages: list[dict[str, Any]], *, every: bool) -> dict[str, list[int]]:
    """A conversation with labels on every answer or on the last one alone, the terminator included."""
    ids = encode(tokenizer, messages)
    labels: list[int] = []
    for k, message in enumerate(messages):
        if message["role"] == "assistant" and (every or k == len(messages) - 1):
            start = len(encode(tokenizer, messages[:k], generation_prompt=True))
            end = len(encode(tokenizer, messages[: k + 1])) - 1  # without the line break behind the terminator
            labels += [-100] * (start - len(labels)) + ids[start:end]
    return {"input_ids": ids, "labels": labels + [-100] * (len(ids) - len(labels))}


def _last_turns() -> Setup:
    tokenizer = tokenizer_with(CHATML)
    prepared = [_answers_learned(tokenizer, row["messages"], every=False) for row in ROWS]
    trainer = plain_trainer(tokenizer, prepared, DataCollatorForSeq2Seq(tokenizer))
    return Setup(trainer=trainer, rows=ROWS, options={"supervised": "last turn"})


def _whole_conversations() -> Setup:
    tokenizer = tokenizer_with(CHATML)
    trainer = learned_whole(tokenizer, [encode(tokenizer, row["messages"]) for row in ROWS])
    return Setup(trainer=trainer, rows=ROWS, options={"supervised": "whole row"})


def _left_in_the_tokenizer() -> Setup:
    tokenizer = tokenizer_with(MARKED)
    tokenizer.padding_side = "left"
    return Setup(trainer=stand_in_trainer(tokenizer, ROWS), rows=ROWS)


def _first_token_labelled() -> Setup:
    """BOS has a label, which the shift drops: there is nothing before it to predict it from."""
    tokenizer = tokenizer_with(WITH_BOS)
    prepared = [_answers_learned(tokenizer, row["messages"], every=True) for row in ROWS]
    for row in prepared:
        row["labels"][0] = row["input_ids"][0]
    return Setup(trainer=plain_trainer(tokenizer, prepared, DataCollatorForSeq2Seq(tokenizer)), rows=ROWS)


def _evaluated_beside() -> Setup:
    """Evaluation rows that share nothing with the training rows but a long system prompt."""
    trainer = sft_trainer(MARKED, WITH_BOILERPLATE)
    trainer.eval_dataset = trainer.train_dataset.select([2])
    trainer.train_dataset = trainer.train_dataset.select([0, 1])
    rows, held_out = WITH_BOILERPLATE[:2], as_samples(WITH_BOILERPLATE[2:], "eval_dataset")
    return Setup(trainer=trainer, rows=rows, dataset=RowsAndSamples(tuple(rows), (held_out,)))


def _several_times() -> Setup:
    rows = [*ROWS, *ROWS, *ROWS]
    return replace(_trl(rows=rows), dataset=RowsAndSamples(tuple(rows)))


TRAPS = (
    Trap("ok-01", "Pad is the eos token, in trl's collator", _padded_with_eos),
    Trap("ok-04", "A line break stands behind the terminator, so a row does not end with it", partial(_trl, CHATML)),
    Trap("ok-18", "The last answer of a conversation is learned alone, by declaration", _last_turns),
    Trap("ok-22", "Batches are padded on the right for training, the tokenizer says left", _left_in_the_tokenizer),
    Trap(
        "ok-24",
        "Plain text is wrapped into rows of one length, as for continued pre-training",
        partial(_trl, rows=TEXTS, packing=True, packing_strategy="wrapped", max_length=16),
    ),
    Trap("ok-27", "The first token of a row has a label", _first_token_labelled),
    Trap("ok-45", "Pad is the terminator, in a plain collator", _padded_with_the_terminator),
    Trap("ok-46", "The whole conversation is learned, by declaration", _whole_conversations),
    Trap("ok-47", "Rows occur several times, by plan", _several_times),
    Trap("ok-48", "Training and evaluation rows share a long system prompt", _evaluated_beside),
)
