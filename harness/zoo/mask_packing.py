"""Faults of documents that share a row and should not know of each other: masks, positions, a cache, a label."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from transformers import DataCollatorForSeq2Seq, DataCollatorWithFlattening

from harness.chat.template import encode
from harness.zoo.exhibit import Fault, Setup
from harness.zoo.parts import CHATML, ROWS, labelled, plain_trainer, sft_trainer, tokenizer_with

Batch = dict[str, Any]
Change = Callable[[Batch], Batch]

SEEN = "mask/packed_documents_do_not_see_each_other"
APART = "mask/packed_documents_are_kept_apart"


def _documents(tokenizer: Any) -> list[dict[str, list[int]]]:
    """Conversations as prepared rows, learned from their second token on."""
    rows = [encode(tokenizer, row["messages"]) for row in ROWS]
    return [labelled(ids, range(1, len(ids))) for ids in rows]


def _flattened(change: Change | None = None, use_cache: bool = False) -> Setup:
    """Rows of a batch that the collator of transformers joins into one, with position ids that start anew."""
    tokenizer = tokenizer_with(CHATML)
    join = DataCollatorWithFlattening()

    def collate(rows: Sequence[Mapping[str, Any]]) -> Batch:
        batch = dict(join(rows))
        return change(batch) if change else batch

    trainer = plain_trainer(tokenizer, _documents(tokenizer), collate, use_cache=use_cache)
    return Setup(trainer=trainer, rows=ROWS, options={"supervised": "whole row"})


def _concatenated() -> Setup:
    """One prepared row that is all conversations, one after the other, with nothing that would tell them apart."""
    tokenizer = tokenizer_with(CHATML)
    documents = _documents(tokenizer)
    joined = {key: [token for row in documents for token in row[key]] for key in ("input_ids", "labels")}
    trainer = plain_trainer(tokenizer, [joined], DataCollatorForSeq2Seq(tokenizer))
    return Setup(trainer=trainer, rows=ROWS, options={"supervised": "whole row"})


def _packed_by_trl() -> Setup:
    return Setup(trainer=sft_trainer(packing=True, max_length=200), rows=ROWS)


def _with_a_mask_of_ones(batch: Batch) -> Batch:
    return batch | {"attention_mask": torch.ones_like(batch["input_ids"])}


def _in_blocks(batch: Batch) -> Batch:
    """A mask of four dimensions, (1, 1, tokens, tokens): each token sees its own document's, up to itself."""
    document = (batch["position_ids"][0] == 0).cumsum(0)
    own = document.unsqueeze(0) == document.unsqueeze(1)
    return batch | {"attention_mask": own.tril()[None, None]}


def _in_blocks_that_count_on(batch: Batch) -> Batch:
    return _in_blocks(batch) | {"position_ids": torch.arange(batch["input_ids"].shape[1]).unsqueeze(0)}


def _labelled_throughout(batch: Batch) -> Batch:
    return batch | {"labels": batch["input_ids"].clone()}


FAULTS = (
    Fault(
        id="mask-29",
        name="Conversations are joined into one row, and each attends to those before it",
        source="huggingface/trl#3067",
        inject=_concatenated,
        caught_by=(SEEN,),
        twin=_packed_by_trl,
        where="in the row builder",
    ),
    Fault(
        id="mask-30",
        name="Positions start anew, and an attention mask of ones joins the documents again",
        source="huggingface/transformers#46634",
        inject=lambda: _flattened(_with_a_mask_of_ones),
        caught_by=(SEEN,),
        twin=_flattened,
    ),
    Fault(
        id="mask-31",
        name="Positions start anew, and the model's cache keeps documents from being told apart",
        source="huggingface/transformers#46634",
        inject=lambda: _flattened(use_cache=True),
        caught_by=(SEEN,),
        twin=_flattened,
        where="in the arguments; trl and the Trainer of today switch the cache off by themselves",
    ),
    Fault(
        id="mask-32",
        name="The mask holds documents apart, and their positions count on",
        source="hiyouga/LlamaFactory#7318",
        inject=lambda: _flattened(_in_blocks_that_count_on),
        caught_by=(APART,),
        twin=lambda: _flattened(_in_blocks),
        where="in the collator",
    ),
    Fault(
        id="mask-34",
        name="The end of one document is taught to begin the next one",
        source="NVIDIA-BioNeMo/bionemo-recipes#1449",
        inject=lambda: _flattened(_labelled_throughout),
        caught_by=(APART,),
        twin=_flattened,
        where="in the collator",
    ),
)
