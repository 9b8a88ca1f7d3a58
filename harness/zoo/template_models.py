"""Faults of tokens that a model is not ready for: rows of its matrices that nobody trained, ids that nobody knows."""

from __future__ import annotations

from typing import Any

from peft import LoraConfig, get_peft_model
from transformers import DataCollatorForSeq2Seq

from harness.chat.template import encode
from harness.inspection.stand_in import quiet, tiny_model
from harness.zoo.exhibit import Fault, Setup
from harness.zoo.parts import CHATML, ROWS, plain_trainer, tokenizer_with


def _adapted_to_new_tokens(**learned: Any) -> Setup:
    """A model that ChatML's tokens were added to, under an adapter on attention alone and what ``learned`` adds."""
    known = tokenizer_with(None, special=())
    tokenizer = tokenizer_with(CHATML)
    model = tiny_model(known)
    model.resize_token_embeddings(len(tokenizer))
    model.generation_config.eos_token_id = [tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<|im_end|>")]
    adapter = LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj", "v_proj"], **learned)
    prepared = [{"input_ids": ids, "labels": ids} for ids in (encode(tokenizer, row["messages"]) for row in ROWS)]
    with quiet():
        adapted = get_peft_model(model, adapter)
    trainer = plain_trainer(tokenizer, prepared, DataCollatorForSeq2Seq(tokenizer), model=adapted)
    return Setup(tokenizer=tokenizer, trainer=trainer, rows=ROWS)


def _new_tokens() -> list[int]:
    return [token for text, token in tokenizer_with(CHATML).get_added_vocab().items() if text.startswith("<|im_")]


FAULTS = (
    Fault(
        id="template-36",
        name="Tokens are added, and the adapter leaves their embeddings as they were put in",
        source="hiyouga/LlamaFactory#2684",
        inject=_adapted_to_new_tokens,
        caught_by=("stopping/tokens_in_use_can_be_learned",),
        twin=lambda: _adapted_to_new_tokens(
            trainable_token_indices={"embed_tokens": _new_tokens(), "lm_head": _new_tokens()}
        ),
    ),
)
