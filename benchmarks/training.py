"""Steps of a LoRA recipe: by the harness, and by a bare ``SFTTrainer`` over the same rows."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from timing import Part, Timed, in_turns, seconds

from harness.references import Kind, ModelRef
from harness.training.recipe import Recipe, configs, load_recipe, old_names_between_libraries
from harness.training.run import train

RECIPES = Path(__file__).parent.parent / "recipes"
STEPS = 3
"""Steps that are timed; one more goes before them, in which memory is laid out."""

Resolve = Callable[[str], str]


@dataclass(frozen=True)
class Course:
    """The losses of all steps, and the tokens of the timed ones where the trainer tells them (padding left out)."""

    losses: tuple[float, ...]
    tokens: int = 0


def training(ref: ModelRef, resolve: Resolve, repeats: int) -> Part:
    """Time the steps of the recipe that fits the model."""
    recipe = _recipe(ref)
    runs = in_turns(
        {"harness": partial(_ours, recipe, resolve), "bare SFTTrainer": partial(_bare, recipe, resolve)}, repeats
    )
    ours, bare = runs["harness"][-1].answer, runs["bare SFTTrainer"][-1].answer
    gap = max(abs(a - b) for a, b in zip(ours.losses, bare.losses, strict=True))
    # The manifest of a trained model keeps five digits of a loss.
    losses = "losses equal step by step" if gap < 1e-4 else f"NOT THE SAME WORK: losses differ by up to {gap:.4f}"
    return Part(
        "training",
        seconds(runs),
        f"{STEPS} steps of recipes/{recipe.path.name} on {recipe.model} after one that is not timed; {losses}, "
        f"last {ours.losses[-1]:.3f}",
        tokens=bare.tokens,
    )


def _recipe(ref: ModelRef) -> Recipe:
    """Return the small recipe for the embedded pair and for what cannot be tuned again; else SmolLM2's on ``ref``."""
    if ref.kind in (Kind.DEMO, Kind.ADAPTER):
        recipe, changes = load_recipe(RECIPES / "demo-lora.yaml"), {}
    else:
        recipe, changes = load_recipe(RECIPES / "smollm2-lora.yaml"), {"model_name_or_path": ref.text}
    return replace(recipe, values={**recipe.values, **changes, "max_steps": STEPS + 1})


def _ours(recipe: Recipe, resolve: Resolve) -> Timed[Course]:
    ends: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        trained = train(recipe, resolve, Path(folder), lambda _step: ends.append(time.perf_counter()))
    return Timed(ends[-1] - ends[0], Course(tuple(trained.manifest["losses"])))


def _bare(recipe: Recipe, resolve: Resolve) -> Timed[Course]:
    from transformers.trainer_callback import PrinterCallback

    with tempfile.TemporaryDirectory() as folder, old_names_between_libraries():
        trainer = _bare_trainer(recipe, resolve, folder)
        trainer.remove_callback(PrinterCallback)
        ends: list[float] = []
        trainer.add_callback(_step_ends(ends))
        trainer.train()
    logged = [entry for entry in trainer.state.log_history if "loss" in entry]
    tokens = int(logged[-1]["num_tokens"] - logged[0]["num_tokens"])
    return Timed(ends[-1] - ends[0], Course(tuple(entry["loss"] for entry in logged), tokens))


def _bare_trainer(recipe: Recipe, resolve: Resolve, folder: str) -> Any:
    """Build the trainer as trl's own ``trl sft`` does, in the precision that the recipe asks for."""
    from datasets import Dataset
    from trl import SFTTrainer, get_peft_config

    quiet = {"output_dir": folder, "report_to": "none", "disable_tqdm": True, "logging_steps": 1}
    script, arguments, model = configs(recipe, quiet)
    arguments.model_init_kwargs = {"dtype": model.dtype, "attn_implementation": model.attn_implementation}
    lines = (recipe.path.parent / script.dataset_name).read_text(encoding="utf-8").splitlines()
    return SFTTrainer(
        model=resolve(recipe.model),
        args=arguments,
        train_dataset=Dataset.from_list([json.loads(line) for line in lines]),
        peft_config=get_peft_config(model),
    )


def _step_ends(ends: list[float]) -> Any:
    """A callback that notes when each step has ended."""
    from transformers import TrainerCallback

    class StepEnds(TrainerCallback):  # type: ignore[misc]  # transformers has no types
        def on_step_end(self, *_: Any, **__: Any) -> None:
            ends.append(time.perf_counter())

    return StepEnds()
