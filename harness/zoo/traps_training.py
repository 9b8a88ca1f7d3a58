"""Ways of training that are legitimate, each with numbers that a rule of thumb would flag."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import DataCollatorForSeq2Seq, LlamaConfig, LlamaForCausalLM

from harness.chat.template import encode
from harness.inspection.matching import inspect_batches
from harness.inspection.overfit import a_short_overfit_teaches_to_stop
from harness.inspection.stand_in import quiet, tiny_model
from harness.zoo.exhibit import Setup, Trap
from harness.zoo.parts import CHATML, MARKED, ROWS, loop_of, plain_trainer, sft_trainer, tokenizer_with

OVERFIT = "stopping/a_short_overfit_teaches_the_model_to_stop"


def _seen_whole(trainer: Any) -> Setup:
    """What is made of the rows, and what the first steps do with them."""
    return Setup(trainer=trainer, rows=ROWS, loop=loop_of(trainer, ROWS))


def _trl(**options: Any) -> Setup:
    return _seen_whole(sft_trainer(MARKED, ROWS, **options))


def _overfitted(**options: Any) -> Setup:
    """The same with what some dozen steps on its own loss make of it."""
    trainer = sft_trainer(MARKED, ROWS, **options)

    def learn() -> Any:
        return a_short_overfit_teaches_to_stop(trainer, inspect_batches(trainer, ROWS))

    return replace(_seen_whole(trainer), more={OVERFIT: learn})


def _smoothed() -> Setup:
    tokenizer = tokenizer_with(CHATML)
    collator = DataCollatorForSeq2Seq(tokenizer)
    trainer = plain_trainer(tokenizer, _whole_rows(tokenizer), collator, label_smoothing_factor=0.1)
    return _seen_whole(trainer)


def _whole_rows(tokenizer: Any) -> list[dict[str, list[int]]]:
    return [{"input_ids": ids, "labels": ids} for ids in (encode(tokenizer, row["messages"]) for row in ROWS)]


def _not_trained_yet() -> Setup:
    """An adapter before its first step: its second matrix is zero, so it changes nothing."""
    trainer = sft_trainer(MARKED)
    with quiet():
        adapter = LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj", "v_proj"])
        trainer.model = get_peft_model(trainer.model, adapter)
    return _seen_whole(trainer)


def _untied() -> Setup:
    """Tied matrices that an adapter saves whole, each for itself."""
    tokenizer = tokenizer_with(CHATML)
    tied = LlamaForCausalLM(LlamaConfig(**(tiny_model(tokenizer).config.to_dict() | {"tie_word_embeddings": True})))
    tied.generation_config.eos_token_id = sorted(tokenizer.get_added_vocab().values())
    adapter = LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"], modules_to_save=["embed_tokens", "lm_head"])
    with quiet(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Model has `tie_word_embeddings=True`", UserWarning)  # as its author knows
        model = get_peft_model(tied, adapter)
    return _seen_whole(plain_trainer(tokenizer, _whole_rows(tokenizer), DataCollatorForSeq2Seq(tokenizer), model))


def _far_from_trained() -> Setup:
    """A random model whose loss is far above that of guessing."""
    trainer = sft_trainer(MARKED)
    with torch.no_grad():
        trainer.model.get_output_embeddings().weight *= 3
    return _seen_whole(trainer)


TRAPS = (
    Trap("ok-26", "The loss of a random model says nothing", _far_from_trained),
    Trap(
        "ok-34",
        "Tied embeddings are saved whole beside an adapter, which unties them in the config",
        _untied,
    ),
    Trap("ok-37", "An adapter that has not been trained yet changes nothing", _not_trained_yet),
    Trap("ok-38", "Noise on the embeddings raises the loss in training", partial(_overfitted, neftune_noise_alpha=5)),
    Trap("ok-39", "Label smoothing raises the least possible loss", _smoothed),
    Trap("ok-40", "Training runs in bfloat16 by autocast", partial(_overfitted, bf16=True)),
    Trap("ok-41", "Accumulated gradients differ in their last bits", partial(_trl, gradient_accumulation_steps=3)),
    Trap(
        "ok-42", "Packed documents agree with single ones but for rounding", partial(_trl, packing=True, max_length=256)
    ),
    Trap(
        "ok-43",
        "Rows come in another order with another batch size and seed",
        partial(_trl, per_device_train_batch_size=1, seed=7),
    ),
    Trap("ok-55", "The first step of a warm-up has a learning rate of zero", partial(_overfitted, warmup_steps=10)),
)
