"""Faults of precision: weights that train in what their files happen to hold."""

from __future__ import annotations

from typing import Any

from transformers import LlamaForCausalLM

from harness.inspection.stand_in import nowhere, tiny_model
from harness.zoo.exhibit import Fault, Setup
from harness.zoo.parts import CHATML, tokenizer_with
from harness.zoo.train_updates import trained_on_chats


def _loaded(**options: Any) -> Setup:
    """A model whose files hold bfloat16, with weights of a usual size, tuned at a usual learning rate."""
    model, folder = tiny_model(tokenizer_with(CHATML)), nowhere()
    for weight in model.parameters():
        weight.data *= 0.1
    model.bfloat16().save_pretrained(folder)
    return trained_on_chats(LlamaForCausalLM.from_pretrained(folder, **options), learning_rate=1e-5)


FAULTS = (
    Fault(
        id="train-14",
        name="A model is loaded in the precision of its files, bfloat16, and most steps are rounded away",
        source="huggingface/transformers#42805",
        inject=_loaded,
        caught_by=("training/weights_have_the_dtype_asked_for",),
        twin=lambda: _loaded(dtype="float32"),
    ),
)
