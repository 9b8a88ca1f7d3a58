"""Stages of continual tuning trained one after another, each from what the one before it has left.

What a stage leaves is a whole checkpoint. Where it has trained an adapter, that is merged into its base: so any method
may follow any other, every result is loaded by its folder alone, and its base is the model of the stage before.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from harness.errors import RecipeError
from harness.once import built_once
from harness.provenance import TOKENIZER
from harness.references import TRAINING_MANIFEST
from harness.training.data import without_bars
from harness.training.recipe import Recipe
from harness.training.run import Trained
from harness.training.stages import Stage

TrainStage = Callable[[str, Recipe], Trained]
"""Trains a recipe under a stage's name, or finds what an earlier run has trained."""


@dataclass(frozen=True)
class StageResult:
    """A stage that is done: ``model`` is the folder of a whole checkpoint, ``trained`` what training has written."""

    stage: Stage
    trained: Trained
    model: Path


def train_stages(
    stages: tuple[Stage, ...], train_stage: TrainStage, resolve: Callable[[str], str]
) -> Iterator[StageResult]:
    """Train stage after stage. Those that are done already are found, so an interrupted list goes on where it was.

    Raises RecipeError where an adapter cannot be merged, besides all that training raises.
    """
    model = stages[0].recipe.model
    for number, stage in enumerate(stages):
        recipe = stage.starting_from(model) if number else stage.recipe
        trained = train_stage(stage.name, recipe)
        whole = _whole(trained, stage, Path(resolve(trained.base)))
        yield StageResult(stage, trained, whole)
        model = str(whole)


def _whole(trained: Trained, stage: Stage, base: Path) -> Path:
    if not (trained.folder / "adapter_config.json").is_file():
        return trained.folder
    merged = trained.folder.with_name(f"{trained.folder.name}-merged")
    return built_once(merged, lambda unfinished: _merge(trained.folder, base, unfinished, stage))


def _merge(adapter: Path, base: Path, into: Path, stage: Stage) -> None:
    """Write the adapter's base with the adapter merged into it, in float32, so that no small update is rounded away."""
    with without_bars(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft warns of tied weights, which the hand-over suite looks at
        module = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), adapter)
        try:
            module.merge_and_unload().save_pretrained(into)
        except (AttributeError, NotImplementedError, ValueError, TypeError) as error:
            raise RecipeError(
                f"{stage.recipe.path}: stage {stage.name!r}: the adapter cannot be merged into its base, as the next "
                "stage needs it; use LoRA, IA3, a bottleneck adapter or full tuning."
            ) from error
    for pattern in (*TOKENIZER, "chat_template*", "generation_config.json", TRAINING_MANIFEST):
        for file in adapter.glob(pattern):
            shutil.copyfile(file, into / file.name)
