"""Faults of an adapter's files, and of the base that it is put on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from peft import PrefixTuningConfig
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

from harness.handover.equality import in_float32
from harness.models.local import LocalModel
from harness.models.weight_files import weights_sample
from harness.provenance import WEIGHTS, files_digest
from harness.training.data import without_bars
from harness.training.manifest import adapter_scaling
from harness.zoo.deliveries import (
    Tensors,
    adapted,
    base,
    copied,
    delivered,
    json_changed,
    saved,
    tensors_changed,
)
from harness.zoo.engines import SAMPLES
from harness.zoo.exhibit import Fault, Setup
from harness.zoo.traps_engines import WithoutPositions

PLACES = "handover/every_adapter_tensor_has_its_place"
NUMBERS = "handover/the_files_hold_numbers"
TARGETS = "handover/every_target_is_adapted"
SCALING = "handover/scaling_is_what_was_trained"
BASE = "handover/the_base_is_the_one_trained_on"
UNTOUCHED = "handover/the_base_without_its_adapter_is_the_base"
BATCH = "stopping/an_answer_does_not_depend_on_its_batch"
SAME = "handover/the_model_equals_what_it_was_made_from"
WEIGHTS_FILE = "adapter_model.safetensors"


def _with_record(**options: Any) -> Path:
    """An adapter as a training leaves it, with the record of its scaling and its base."""
    on = base()
    model = adapted(on, **options)
    return saved(
        model,
        on,
        base=str(on),
        base_weights=files_digest(on, WEIGHTS),
        base_sample=weights_sample(on),
        adapter_scaling=adapter_scaling(model),
    )


def _renamed(tensors: Tensors) -> Tensors:
    return {name.replace(".layers.", ".layer."): each for name, each in tensors.items()}


def _emptied(folder: Path) -> None:
    save_file({}, folder / WEIGHTS_FILE, metadata={"format": "pt"})


def _transposed(tensors: Tensors) -> Tensors:
    """The square matrices of an adapter laid out the other way round."""
    return {name: each.t().contiguous() if each.shape[0] == each.shape[1] else each for name, each in tensors.items()}


def _laid_out(other_way: bool) -> Setup:
    original = saved(adapted(base(), r=32), base())
    change = tensors_changed(WEIGHTS_FILE, _transposed if other_way else dict)
    return Setup(delivery=delivered(copied(original, change), same_as=original))


def _on_base(seed: int) -> Setup:
    """The adapter on the base that its config names by now."""
    change = json_changed("adapter_config.json", base_model_name_or_path=str(base(seed=seed)))
    return Setup(delivery=delivered(copied(_with_record(), change)))


def _compared_with(wrapped: bool) -> Setup:
    """A comparison with the base, which was wrapped in place or loaded anew."""
    folder = _with_record()
    with without_bars():
        module = adapted(base()).get_base_model() if wrapped else AutoModelForCausalLM.from_pretrained(base())
    return Setup(delivery=delivered(folder, compared_with=lambda: module.eval()))


def _targets(*names: str) -> Setup:
    return Setup(delivery=delivered(saved(adapted(base(), target_modules=list(names)), base())))


def _virtual_tokens(kind: type[LocalModel]) -> Setup:
    """Prefix tuning, asked by an engine of this kind."""
    config = PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4)
    delivery = delivered(saved(adapted(base(), config=config, strength=1.0), base()))
    model = in_float32(delivery.files, delivery)
    asked = kind(model.name, model.weights, model.tokenizer, model.stop_ids, model.budget)
    return Setup(delivery=delivery, model=asked, samples=SAMPLES)


FAULTS = (
    Fault(
        id="peft-06",
        name="Layers have another name in the adapter's file than in its base, so nothing is loaded",
        source="huggingface/transformers#34068",
        inject=lambda: Setup(delivery=delivered(copied(_with_record(), tensors_changed(WEIGHTS_FILE, _renamed)))),
        caught_by=(PLACES,),
        twin=lambda: Setup(delivery=delivered(_with_record())),
    ),
    Fault(
        id="peft-08",
        name="The adapter's file is empty",
        source="huggingface/trl#4416",
        inject=lambda: Setup(delivery=delivered(copied(_with_record(), _emptied))),
        caught_by=(NUMBERS, PLACES),
        twin=lambda: Setup(delivery=delivered(_with_record())),
    ),
    Fault(
        id="peft-09",
        name="One of the target modules is misspelt and left out",
        source="huggingface/peft#3009",
        inject=lambda: _targets("q_proj", "vv_proj"),
        caught_by=(TARGETS,),
        twin=lambda: _targets("q_proj", "v_proj"),
    ),
    Fault(
        id="peft-10",
        name="The adapter is scaled by another rule than it was trained with",
        source="vllm-project/vllm#10798",
        inject=lambda: Setup(
            delivery=delivered(copied(_with_record(), json_changed("adapter_config.json", use_rslora=True)))
        ),
        caught_by=(SCALING,),
        twin=lambda: Setup(delivery=delivered(_with_record(use_rslora=True))),
    ),
    Fault(
        id="peft-11",
        name="The adapter sits on another base of the same shapes",
        source="huggingface/peft#1567",
        inject=lambda: _on_base(seed=7),
        caught_by=(BASE,),
        twin=lambda: _on_base(seed=0),
    ),
    Fault(
        id="peft-13",
        name="The base that the tuned model is compared with has the adapter in it",
        source="huggingface/peft#940",
        inject=lambda: _compared_with(wrapped=True),
        caught_by=(UNTOUCHED,),
        twin=lambda: _compared_with(wrapped=False),
    ),
    Fault(
        id="peft-17",
        name="With virtual tokens in front, padding on the left moves the prompt away from them",
        source="huggingface/peft#869",
        inject=lambda: _virtual_tokens(WithoutPositions),
        caught_by=(BATCH,),
        twin=lambda: _virtual_tokens(LocalModel),
        where="in the code that asks",
    ),
    Fault(
        id="peft-19",
        name="Matrices of the adapter are laid out the other way round",
        source="huggingface/peft#3112",
        inject=lambda: _laid_out(other_way=True),
        caught_by=(SAME,),
        twin=lambda: _laid_out(other_way=False),
    ),
)
