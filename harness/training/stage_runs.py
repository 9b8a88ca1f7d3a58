"""Stages of continual tuning trained one after another, each from what the one before it has left.

What a stage leaves is a whole checkpoint. Where it has trained an adapter, that is merged into its base: so any method
may follow any other, every result is loaded by its folder alone, and its base is the model of the stage before.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from harness.errors import RecipeError
from harness.models.load import LoadOptions, load
from harness.once import built_once
from harness.provenance import TOKENIZER
from harness.references import TRAINING_MANIFEST, parse_reference
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


def train_stages(stages: tuple[Stage, ...], train_stage: TrainStage, loading: LoadOptions) -> Iterator[StageResult]:
    """Train stage after stage. Those that are done already are found, so an interrupted list goes on where it was.

    Raises RecipeError where an adapter cannot be merged, besides all that training and loading raise.
    """
    model = stages[0].recipe.model
    for number, stage in enumerate(stages):
        recipe = stage.starting_from(model) if number else stage.recipe
        trained = train_stage(stage.name, recipe)
        whole = trained.folder
        if (whole / "adapter_config.json").is_file():
            try:
                whole = merged(trained, loading)
            except ValueError as error:
                raise RecipeError(
                    f"{recipe.path}: stage {stage.name!r}: its adapter cannot be merged, and the next stage needs a "
                    f"whole model ({error}); use LoRA, IA3, a bottleneck adapter or full tuning."
                ) from error
        yield StageResult(stage, trained, whole)
        model = str(whole)


def merged(trained: Trained, loading: LoadOptions) -> Path:
    """The folder beside an adapter's that holds its base with the adapter merged into it; made once.

    It is kept in float32, so that no small update is rounded away. Raises ValueError where peft cannot merge it.
    """
    beside = trained.folder.with_name(f"{trained.folder.name}-merged")
    options = replace(loading, base=parse_reference(trained.base, loading.trust), dtype="float32")
    return built_once(beside, lambda unfinished: _merge(trained.folder, options, unfinished))


def _merge(adapter: Path, options: LoadOptions, into: Path) -> None:
    module = load(parse_reference(str(adapter), options.trust), options).module
    if not hasattr(module.base_model, "merge_and_unload"):
        raise ValueError(f"{module.peft_type} leaves the weights of its base as they are")
    with without_bars(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft warns of tied weights, which are looked at here
        whole = module.merge_and_unload()
        # Weights that training has taken apart would be put together again where the model is read.
        into_model, out_of_it = whole.get_input_embeddings(), whole.get_output_embeddings()
        if out_of_it is not None and not torch.equal(into_model.weight, out_of_it.weight):
            whole.config.tie_word_embeddings = False
        whole.save_pretrained(into)
    for pattern in (*TOKENIZER, "chat_template*", "generation_config.json", TRAINING_MANIFEST):
        for file in adapter.glob(pattern):
            shutil.copyfile(file, into / file.name)
