"""An adapter and its base over one set of weights: what touches the base, and what only looks as if it did."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from peft import PrefixTuningConfig
from transformers import AutoModelForCausalLM

from harness.handover.untouched import the_adapter_leaves_its_base_untouched
from harness.inspection.stand_in import nowhere
from harness.models.fetch import Access
from harness.models.load import LoadOptions, load
from harness.models.local import LocalModel
from harness.models.resident import Residents
from harness.models.twin import says
from harness.models.weights import OnDemand
from harness.records import Finding
from harness.references import parse_reference
from harness.training.data import without_bars
from harness.zoo.deliveries import adapted, base, saved
from harness.zoo.engines import tuned_demo
from harness.zoo.exhibit import Fault, Setup, Trap

UNTOUCHED = "handover/the_adapter_leaves_its_base_untouched"


def _switched(change: Callable[[Any], object] = lambda _: None, **options: Any) -> Setup:
    """One module for both, as a user's engine has it: whoever is asked switches the adapter on or off first."""
    on = base(biases=True)
    with without_bars():
        before = says(AutoModelForCausalLM.from_pretrained(on).eval())
    both = adapted(on, **options).eval()
    change(both)

    def read(enable: bool) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # peft does say that biases stay
            (both.base_model.enable_adapter_layers if enable else both.base_model.disable_adapter_layers)()
        return both

    def model(enable: bool) -> LocalModel:
        weights = OnDemand(
            both.config,
            both.generation_config,
            both.device,
            both.dtype,
            0,
            partial(read, enable),
            look_back=lambda: before,
        )
        demo = tuned_demo()
        return LocalModel(
            "switched on" if enable else "switched off", weights, demo.tokenizer, demo.stop_ids, demo.budget
        )

    return _looked_at(model(True), model(False))


def _merged_and_back(both: Any) -> None:
    """As for a faster run in between; in half precision the sum does not come apart into what it was made of."""
    both.merge_adapter()
    both.unmerge_adapter()


def _resident(**options: Any) -> Setup:
    """Both as this package loads them."""
    on = base(biases=True)
    folder = saved(adapted(on, **options), on)
    loading = LoadOptions(Access(Path(nowhere()), offline=True), device="cpu", residents=Residents())
    tuned, untouched = (load(parse_reference(str(each)), loading) for each in (folder, on))
    return _looked_at(tuned, untouched)


def _looked_at(tuned: LocalModel, untouched: LocalModel) -> Setup:
    def find() -> list[Finding]:
        return the_adapter_leaves_its_base_untouched(tuned, untouched)

    return Setup(more={UNTOUCHED: find})


FAULTS = (
    Fault(
        id="peft-20",
        name="The adapter is switched off to ask its base, and its trained biases stay",
        source="huggingface/peft#741",
        inject=partial(_switched, bias="all"),
        caught_by=(UNTOUCHED,),
        twin=_switched,
    ),
    Fault(
        id="peft-21",
        name="The adapter was merged and taken out again, and rounding stays in its base",
        source="huggingface/peft#1388",
        inject=partial(_switched, _merged_and_back),
        caught_by=(UNTOUCHED,),
        twin=_switched,
    ),
)

TRAPS = (
    Trap("ok-92", "An adapter shares its base's weights, and trains biases", partial(_resident, bias="all")),
    Trap(
        "ok-93",
        "An adapter shares its base's weights, and trains the head whole",
        partial(_resident, modules_to_save=["lm_head"]),
    ),
    Trap(
        "ok-94",
        "An adapter shares its base's weights, and splits them in size and direction",
        partial(_resident, use_dora=True),
    ),
    Trap(
        "ok-95",
        "An adapter shares its base's weights, and trains rows of the embedding",
        partial(_resident, trainable_token_indices=[1, 2]),
    ),
    Trap(
        "ok-96",
        "An adapter shares its base's weights, and takes its start out of them",
        partial(_resident, init_lora_weights="pissa"),
    ),
    Trap(
        "ok-97",
        "An adapter shares its base's weights, and puts virtual tokens before every text",
        partial(_resident, config=PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4), strength=1.0),
    ),
)
