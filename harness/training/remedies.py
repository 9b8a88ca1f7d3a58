"""What a recipe asks for against forgetting: general rows that are replayed, weights that are held by EWC."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import set_seed

from harness.errors import RecipeError
from harness.inspection.stand_in import stand_in_trainer
from harness.rows import Row
from harness.training.data import rows_of_split
from harness.training.ewc import ElasticWeights
from harness.training.recipe import Recipe
from harness.training.replay import GENERAL, Mixture, mix, mixed_rows

if TYPE_CHECKING:
    from datasets import Dataset
    from trl import SFTTrainer

    from harness.training.trainer import Parts

EWC_ROWS = 64
"""General rows that the Fisher information is estimated on, unless the recipe says how many."""

EWC_FILE = Path("ewc") / "state.safetensors"
"""In a folder of its own: what serves a checkpoint takes every .safetensors file beside config.json for its weights."""


def check_remedies(recipe: Recipe) -> None:
    """See that each remedy has what it needs; raises RecipeError where it has not."""
    asked, path = recipe.extra, recipe.path
    if (asked.replay_share is None) != (asked.replay_dataset_name is None):
        lacks = "replay_dataset_name" if asked.replay_dataset_name is None else "replay_share"
        raise RecipeError(
            f"{path}: {lacks} is missing: replay needs replay_dataset_name (general rows) and replay_share (their part "
            "of the consumed tokens, such as 0.1)."
        )
    if asked.replay_share is not None and not 0 < asked.replay_share < 1:
        raise RecipeError(f"{path}: replay_share: {asked.replay_share:g} is no share; give one above 0 and below 1.")
    if asked.replay_share is not None and recipe.values.get("max_steps", -1) > 0:
        raise RecipeError(f"{path}: replay_share counts tokens of whole passes: give num_train_epochs, not max_steps.")
    if asked.ewc_lambda is None and (asked.ewc_dataset_name is not None or asked.ewc_rows is not None):
        raise RecipeError(f"{path}: ewc_lambda is missing: it says how strongly EWC holds the weights, such as 100.")
    if asked.ewc_lambda is not None and asked.ewc_dataset_name is None:
        raise RecipeError(
            f"{path}: ewc_dataset_name is missing: EWC needs rows of what is to be kept, such as general chats."
        )
    if asked.ewc_lambda is not None and asked.ewc_lambda <= 0:
        raise RecipeError(f"{path}: ewc_lambda: {asked.ewc_lambda:g} holds nothing; give a number above 0.")
    if asked.ewc_rows is not None and asked.ewc_rows < 1:
        raise RecipeError(f"{path}: ewc_rows: {asked.ewc_rows} is no number of rows; give 1 or more.")


def rows_for(recipe: Recipe, key: str, split: str, *, offline: bool) -> tuple[Row, ...]:
    """Read the general rows that a key of the recipe names; nothing where it names none."""
    name = getattr(recipe.extra, key)
    if name is None:
        return ()
    return rows_of_split(replace(recipe, values={**recipe.values, "dataset_name": name}), split, offline=offline)


def add_remedies(parts: Parts, trainer: SFTTrainer) -> None:
    """Put replayed rows among those of the trainer, and EWC beside its steps, as the recipe asks.

    The trainer then has ``mixture`` and ``source_rows`` (those that are used, as they were read).
    """
    if not parts.ewc_rows and not parts.replay_rows:
        return
    if parts.ewc_rows:
        trainer.add_callback(_elastic(parts, trainer))
    if parts.replay_rows:
        _replay(parts, trainer)
    # A run that goes on reads what it had estimated: its order of rows must not depend on numbers drawn for that.
    set_seed(trainer.args.seed)


def remedies_of(trainer: SFTTrainer) -> dict[str, Any]:
    """What the manifest says of a trainer's remedies; empty where it has none."""
    found: dict[str, Any] = {}
    mixture: Mixture | None = getattr(trainer, "mixture", None)
    if mixture is not None:
        found["replay"] = mixture.record()
    for callback in trainer.callback_handler.callbacks:
        if isinstance(callback, ElasticWeights):
            size = sum(each.numel() * 4 for each in (*callback.fisher.values(), *callback.anchor.values()))
            penalties = [entry["ewc_penalty"] for entry in trainer.state.log_history if "ewc_penalty" in entry]
            found["ewc"] = {
                "lambda": callback.strength,
                "reference_weights": callback.digest,
                "mib": round(size / 2**20, 1),
                "last_penalty": penalties[-1] if penalties else None,
            }
    return found


def _replay(parts: Parts, trainer: SFTTrainer) -> None:
    task, general = trainer.train_dataset, _prepared(parts, trainer, parts.replay_rows)
    mixture = mix(
        task,
        general,
        share=float(parts.recipe.extra.replay_share or 0.0),
        epochs=float(trainer.args.num_train_epochs),
        seed=int(trainer.args.seed),
    )
    trainer.mixture = mixture
    used = sorted({row for source, row in mixture.order if source == GENERAL})
    trainer.source_rows = [*parts.rows, *(parts.replay_rows[row] for row in used if row < len(parts.replay_rows))]
    trainer.train_dataset = mixed_rows(task, general, mixture)
    # The order is the mixture's own, so that its shares hold at every point of the run.
    trainer.args.num_train_epochs = 1
    trainer.args.train_sampling_strategy = "sequential"


def _elastic(parts: Parts, trainer: SFTTrainer) -> ElasticWeights:
    """Estimated once: an interrupted run goes on with what it began with."""
    kept = Path(trainer.args.output_dir) / EWC_FILE
    if kept.is_file():
        return ElasticWeights.load(kept)
    rows = _prepared(parts, trainer, parts.ewc_rows)
    made = ElasticWeights.before_training(trainer, list(rows), float(parts.recipe.extra.ewc_lambda or 0.0))
    kept.parent.mkdir(parents=True, exist_ok=True)
    made.save(kept)
    return made


def _prepared(parts: Parts, trainer: SFTTrainer, rows: Sequence[Mapping[str, Any]]) -> Dataset:
    """General rows as trl prepares them for this trainer, whatever form they have beside those of the task."""
    tokenizer = trainer.processing_class
    options = {"max_length": trainer.args.max_length, "packing": trainer.args.packing}
    if trainer.args.packing:
        options["packing_strategy"] = trainer.args.packing_strategy
    prepared = stand_in_trainer(_with_template(tokenizer, trainer), rows, **options).train_dataset
    if len(prepared) == 0:
        raise RecipeError(
            f"{parts.recipe.path}: max_length: no general row keeps a supervised token within "
            f"{trainer.args.max_length} tokens; raise it, or give shorter rows."
        )
    return prepared


def _with_template(tokenizer: Any, trainer: SFTTrainer) -> Any:
    """Rows are written with the template that the task's are, which trl may have put in the place of the model's."""
    used = copy.copy(tokenizer)
    used.chat_template = getattr(trainer, "chat_template", None) or tokenizer.chat_template
    return used
