"""Faults of merging an adapter and of what is saved afterwards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from peft.tuners.lora import LoraLayer

from harness.zoo.deliveries import adapted, base, copied, delivered, json_changed, merged, saved, tensors_changed
from harness.zoo.exhibit import Fault, Setup

MERGING = "handover/merging_keeps_the_model"
SAME = "handover/the_model_equals_what_it_was_made_from"
BOTH: dict[str, Any] = {"modules_to_save": ["embed_tokens", "lm_head"], "ensure_weight_tying": False}


def _merged_copy(on: Path, change: Callable[[Path], None] = lambda _: None, **options: Any) -> Setup:
    """A merged checkpoint beside the adapter that it was made from."""
    original = saved(adapted(on, **options), on)
    return Setup(delivery=delivered(copied(merged(adapted(on, **options), on), change), same_as=original))


def _head_lost(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return tensors | {"lm_head.weight": tensors["model.embed_tokens.weight"].clone()}


def _retied(folder: Path) -> None:
    """Tied again: what was trained of the head is gone."""
    tensors_changed("model.safetensors", _head_lost)(folder)
    json_changed("config.json", tie_word_embeddings=True)(folder)


def _on_a_head(tied: bool) -> Setup:
    on = base(tied=tied)
    return Setup(delivery=delivered(saved(adapted(on, target_modules=["lm_head"]), on)))


def _small(strength: float) -> Setup:
    """An adapter on a base that is stored in bfloat16."""
    on = base(dtype=torch.bfloat16)
    return Setup(delivery=delivered(saved(adapted(on, strength=strength), on)))


def rounded(levels: int) -> Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]:
    """Weights rounded to so many levels in blocks of 16, as quantisation does."""

    def apply(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {name: _blocks(each, levels) if each.dim() == 2 else each for name, each in tensors.items()}

    return apply


def _blocks(weight: torch.Tensor, levels: int) -> torch.Tensor:
    blocks = weight.reshape(-1, 16)
    step = (blocks.abs().amax(1, keepdim=True) / (levels / 2)).clamp(min=1e-12)
    return (torch.round(blocks / step) * step).reshape(weight.shape)


def _merged_into_another_precision(quantised: bool) -> Setup:
    """Trained on a base of 4 bits, merged into the base of 32, and the other way round for the twin."""
    on = base()
    coarse = copied(on, tensors_changed("model.safetensors", rounded(8)))
    trained_on = coarse if quantised else on
    original = saved(adapted(trained_on, strength=0.02), trained_on)
    return Setup(delivery=delivered(merged(adapted(on, strength=0.02), on), same_as=original))


def _without_magnitude(drop: bool) -> Setup:
    on = base()
    original = saved(adapted(on, use_dora=True), on)
    model = adapted(on, use_dora=True)
    if drop:
        for module in model.modules():
            if isinstance(module, LoraLayer):
                module.use_dora = {"default": False}
                module.lora_variant = {}
    return Setup(delivery=delivered(merged(model, on), same_as=original))


FAULTS = (
    Fault(
        id="peft-01",
        name="A head that was trained by itself is the embedding again after the merge",
        source="huggingface/peft#2777",
        inject=lambda: _merged_copy(
            base(), tensors_changed("model.safetensors", _head_lost), modules_to_save=["lm_head"]
        ),
        caught_by=(SAME,),
        twin=lambda: _merged_copy(base(), modules_to_save=["lm_head"]),
        where="in the merged file",
    ),
    Fault(
        id="peft-02",
        name="LoRA on a head that is tied to the embedding changes both when it is merged",
        source="huggingface/peft#2018",
        inject=lambda: _on_a_head(tied=True),
        caught_by=(MERGING,),
        twin=lambda: _on_a_head(tied=False),
    ),
    Fault(
        id="peft-03",
        name="An adapter that is too small for the dtype of its base is rounded away by the merge",
        source="huggingface/peft#1388",
        inject=lambda: _small(2e-4),
        caught_by=(MERGING,),
        twin=lambda: _small(5e-2),
    ),
    Fault(
        id="peft-04",
        name="Trained on a quantised base, merged into the original one",
        source="artidoro/qlora#254",
        inject=lambda: _merged_into_another_precision(quantised=True),
        caught_by=(SAME,),
        twin=lambda: _merged_into_another_precision(quantised=False),
    ),
    Fault(
        id="peft-16",
        name="The magnitudes of DoRA are left out of the merge",
        source="huggingface/peft#3608",
        inject=lambda: _without_magnitude(drop=True),
        caught_by=(SAME,),
        twin=lambda: _without_magnitude(drop=False),
        where="in the merge",
    ),
    Fault(
        id="export-11",
        name="What is shipped is a quantised copy, and what was measured is not",
        source="huggingface/transformers#26492",
        inject=lambda: _merged_copy(base(), tensors_changed("model.safetensors", rounded(4))),
        caught_by=(SAME,),
        twin=lambda: _merged_copy(base()),
    ),
    Fault(
        id="template-37",
        name="Embedding and head are tied, trained apart, and one of them is lost in the merge",
        source="huggingface/peft#2018",
        inject=lambda: _merged_copy(base(tied=True), _retied, **BOTH),
        caught_by=(SAME, "handover/tied_heads_agree_with_the_config"),
        twin=lambda: _merged_copy(base(tied=True), **BOTH),
    ),
)
