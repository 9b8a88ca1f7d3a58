"""Faults of what a step does: nothing trains, half of it trains, or what trains does not move."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch.utils.checkpoint import checkpoint
from transformers import DataCollatorForSeq2Seq, LlamaConfig, LlamaForCausalLM

from harness.chat.template import encode
from harness.inspection.stand_in import quiet, tiny_model
from harness.zoo.exhibit import Fault, Setup
from harness.zoo.parts import CHATML, ROWS, loop_of, plain_trainer, tokenizer_with

MOVES = "training/every_trained_weight_moves"
INTENDED = "training/only_the_intended_parameters_train"
PLAN = "training/optimizer_and_schedule_follow_the_plan"


def trained_on_chats(model: Any = None, rows: int = 12, **options: Any) -> Setup:
    """A plain trainer whose every token is learned, of this model or a new one."""
    tokenizer = tokenizer_with(CHATML)
    ids = [encode(tokenizer, row["messages"]) for row in ROWS]
    prepared = [{"input_ids": each, "labels": each} for each in ids] * (rows // len(ids))
    settings = {"per_device_train_batch_size": 2, "learning_rate": 1e-3, "num_train_epochs": 3} | options
    trainer = plain_trainer(tokenizer, prepared, DataCollatorForSeq2Seq(tokenizer), model=model, **settings)
    return Setup(loop=loop_of(trainer))


def adapted(dtype: torch.dtype = torch.float32, *, float32_adapter: bool = True, layers: int = 1) -> PeftModel:
    """A random model with LoRA on its attention."""
    torch.manual_seed(0)
    config = LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj", "v_proj"])
    small = tiny_model(tokenizer_with(CHATML))
    base = LlamaForCausalLM(LlamaConfig(**(small.config.to_dict() | {"num_hidden_layers": layers}))).to(dtype)
    base.generation_config = small.generation_config
    with quiet(), warnings.catch_warnings():
        return get_peft_model(base, config, autocast_adapter_dtype=float32_adapter)


def _half_frozen(half: bool = True) -> Setup:
    model = adapted()
    for name, weight in model.named_parameters():
        if half and "lora_A" in name and "q_proj" in name:
            weight.requires_grad_(False)
    return trained_on_chats(model)


def _cut_off(reentrant: bool) -> Setup:
    """One layer in a checkpoint under frozen inputs: the reentrant kind finds nothing that needs a gradient."""
    model = adapted(layers=2)
    layer = model.get_base_model().model.layers[0]
    inner = layer.forward

    def again(hidden: torch.Tensor, *arguments: Any, **options: Any) -> Any:
        if not torch.is_grad_enabled():
            return inner(hidden, *arguments, **options)
        return checkpoint(lambda given: inner(given, *arguments, **options), hidden, use_reentrant=reentrant)

    layer.forward = again
    return trained_on_chats(model)


def _warmed_up(steps: float) -> Setup:
    return trained_on_chats(lr_scheduler_type="linear", warmup_steps=steps, num_train_epochs=10)


FAULTS = (
    Fault(
        id="train-15",
        name="An adapter in half precision, whose updates are smaller than its weights can show",
        source="huggingface/peft#1706",
        inject=lambda: trained_on_chats(adapted(torch.bfloat16, float32_adapter=False), learning_rate=1e-6),
        caught_by=(MOVES,),
        twin=lambda: trained_on_chats(adapted(torch.bfloat16), learning_rate=1e-6),
    ),
    Fault(
        id="train-17",
        name="A warm-up written like a share of 100 % is one step",
        source="huggingface/transformers, TrainingArguments.get_warmup_steps",
        inject=lambda: _warmed_up(1.0),
        caught_by=(PLAN,),
        twin=lambda: _warmed_up(0.1),
    ),
    Fault(
        id="train-21",
        name="Half of the adapter is frozen",
        source="huggingface/peft#282",
        inject=_half_frozen,
        caught_by=(INTENDED,),
        twin=lambda: _half_frozen(half=False),
    ),
    Fault(
        id="train-22",
        name="A reentrant checkpoint under frozen inputs cuts the gradient off",
        source="huggingface/transformers#21381",
        inject=lambda: _cut_off(reentrant=True),
        caught_by=(MOVES,),
        twin=lambda: _cut_off(reentrant=False),
    ),
)
