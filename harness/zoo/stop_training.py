"""Faults of training that leave a model which does not stop, or stops at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import DataCollatorForSeq2Seq

from harness.inspection.matching import inspect_batches
from harness.inspection.overfit import a_short_overfit_teaches_to_stop
from harness.inspection.stand_in import quiet, stand_in_trainer
from harness.zoo.exhibit import Fault, Setup
from harness.zoo.parts import CHATML, MARKED, ROWS, labelled, plain_trainer, prepared_as, sft_trainer, tokenizer_with

MASK = "mask/content_and_terminator_of_every_turn_are_supervised_and_nothing_else"
STOPS = "mask/some_row_teaches_the_model_to_stop"
OVERFIT = "stopping/a_short_overfit_teaches_the_model_to_stop"

PAIRS = [
    {"prompt": "Question: What opens at noon?\nAnswer:", "completion": " The gate."},
    {"prompt": "Question: Who crosses the garden?\nAnswer:", "completion": " A fox."},
]
MARKED_TOO_EARLY = MARKED.replace("+ '<|im_end|>' }}{% endgeneration %}", "}}{% endgeneration %}{{ '<|im_end|>' }}")
EMPTY: list[dict[str, Any]] = [
    *ROWS,
    {"messages": [{"role": "user", "content": "Go on."}, {"role": "assistant", "content": ""}]},
]


def _overfitted(trainer: Any, rows: Sequence[Mapping[str, Any]]) -> Setup:
    """The set-up with what some dozen steps on its own loss make of it."""

    def learn() -> Any:
        return a_short_overfit_teaches_to_stop(trainer, inspect_batches(trainer, rows))

    return Setup(trainer=trainer, rows=rows, more={OVERFIT: learn})


def _pairs(ending: bool) -> Setup:
    tokenizer = tokenizer_with(None)
    prepared = []
    for row in PAIRS:
        prompt, text = (tokenizer(part, add_special_tokens=False)["input_ids"] for part in row.values())
        ids = prompt + text + ([tokenizer.eos_token_id] if ending else [])
        prepared.append(labelled(ids, range(len(prompt), len(ids))))
    return Setup(trainer=plain_trainer(tokenizer, prepared, DataCollatorForSeq2Seq(tokenizer)), rows=PAIRS)


def _closed_by(*learned: str) -> Setup:
    """Rows whose control tokens have no label but for these."""
    tokenizer = tokenizer_with(CHATML)
    masked = set(tokenizer.get_added_vocab().values()) - {tokenizer.convert_tokens_to_ids(token) for token in learned}

    def change(ids: list[int], labels: list[int]) -> tuple[list[int], list[int]]:
        return ids, [-100 if label in masked else label for label in labels]

    return _overfitted(prepared_as(sft_trainer(CHATML), change), ROWS)


def _base_tokens(**learned: Any) -> Setup:
    """A base model that never saw its chat tokens: six rows alike in both matrices, under an adapter."""
    tokenizer = tokenizer_with(CHATML, special=("<|im_start|>", "<|im_end|>", "<|r0|>", "<|r1|>", "<|r2|>", "<|r3|>"))
    trainer = stand_in_trainer(tokenizer, ROWS)
    alike = [token for text, token in tokenizer.get_added_vocab().items() if text.startswith(("<|im_", "<|r"))]
    with torch.no_grad():
        for matrix in (trainer.model.get_input_embeddings(), trainer.model.get_output_embeddings()):
            matrix.weight[alike] = matrix.weight[alike[0]].clone()
    with quiet():
        adapter = LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj", "v_proj"], **learned)
        trainer.model = get_peft_model(trainer.model, adapter)
    return Setup(trainer=trainer, rows=ROWS)


FAULTS = (
    Fault(
        id="stop-01",
        name="Rows of plain text are tokenised without the eos token at their end",
        source="huggingface/trl#1623",
        inject=partial(_pairs, ending=False),
        caught_by=(STOPS, "mask/rows_are_what_the_template_renders"),
        twin=partial(_pairs, ending=True),
        where="the user's row builder; trl adds the token by itself",
    ),
    Fault(
        id="stop-04",
        name="The template's generation block closes before the terminator",
        source="huggingface/trl#5988",
        inject=lambda: _overfitted(sft_trainer(MARKED_TOO_EARLY), ROWS),
        caught_by=(MASK, OVERFIT),
        twin=lambda: _overfitted(sft_trainer(MARKED), ROWS),
    ),
    Fault(
        id="stop-06",
        name="The eos token is supervised, and the template ends turns with another one",
        source="axolotl-ai-cloud/axolotl#3754",
        inject=partial(_closed_by, "<|end|>"),
        caught_by=(MASK, STOPS, OVERFIT),
        twin=partial(_closed_by, "<|end|>", "<|im_end|>"),
        where="the user's row builder",
    ),
    Fault(
        id="stop-08",
        name="The chat tokens of a base model are all alike, and the adapter cannot tell them apart",
        source="QwenLM/Qwen3#1064",
        inject=_base_tokens,
        caught_by=("stopping/tokens_in_use_can_be_learned",),
        twin=lambda: _base_tokens(modules_to_save=["embed_tokens", "lm_head"]),
    ),
    Fault(
        id="stop-14",
        name="Some answers are empty and teach the model to end at once",
        source="OpenRLHF/OpenRLHF#352",
        inject=lambda: Setup(trainer=sft_trainer(CHATML, EMPTY), rows=EMPTY),
        caught_by=("mask/no_answer_is_empty",),
        twin=lambda: Setup(trainer=sft_trainer(CHATML), rows=ROWS),
    ),
)
