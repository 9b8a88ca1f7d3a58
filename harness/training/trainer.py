"""From a recipe to trl's ``SFTTrainer``, built as ``trl sft`` builds it, so that the suites inspect the real thing.

What differs from ``trl sft``: nothing is reported or published, every step is logged, and where the recipe does not
say otherwise the CPU computes in float32 (trl asks for bfloat16 everywhere).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError

from harness.engine.virtual_tokens import virtual_tokens
from harness.errors import RecipeError
from harness.rows import Row
from harness.training.data import rows_of_split, without_bars
from harness.training.methods import adapter_of
from harness.training.recipe import Recipe, configs, old_names_between_libraries, one_line
from harness.training.remedies import EWC_ROWS, add_remedies, check_remedies, rows_for
from harness.training.rows_fit import check_rows_fit
from harness.training.targets import check_targets
from harness.training.template import template_settings, tokenizer_for
from harness.training.tried import try_template

if TYPE_CHECKING:
    from datasets import Dataset
    from peft import PeftConfig
    from transformers import PreTrainedTokenizerBase
    from trl import ModelConfig, SFTConfig, SFTTrainer

LIBRARY_ERRORS = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RuntimeError)
"""What trl, peft and torch raise where a setting does not fit."""

Resolve = Callable[[str], str]
"""From a model reference's text to the local folder of its checkpoint."""


@dataclass(frozen=True)
class Parts:
    """What a trainer is built from, each part found and checked.

    ``base`` is the base model's folder; ``adapter`` is None for full tuning, ``tokenizer`` where the base's is used as
    it lies there.
    """

    recipe: Recipe
    training: SFTConfig
    model: ModelConfig
    base: Path
    adapter: PeftConfig | None
    rows: tuple[Row, ...]
    evaluation_rows: tuple[Row, ...] = ()
    replay_rows: tuple[Row, ...] = ()
    ewc_rows: tuple[Row, ...] = ()
    tokenizer: PreTrainedTokenizerBase | None = None


def build_trainer(recipe: Recipe, resolve: Resolve, output_dir: Path, *, offline: bool = False) -> SFTTrainer:
    """Return the trainer that the recipe describes, its rows tokenised and masked, not yet run.

    Raises RecipeError for what trl refuses, DataError for a faulty row, NetworkError where data are out of reach.
    """
    return trainer_of(gather(recipe, resolve, output_dir, offline=offline))


def gather(recipe: Recipe, resolve: Resolve, output_dir: Path, *, offline: bool = False) -> Parts:
    """Find and read everything that the recipe names, without loading the model."""
    if recipe.extra.stages is not None:
        raise RecipeError(f"{recipe.path}: stages are trained one after another; take the recipe of one of them.")
    script, training, model = configs(recipe, _settings(recipe, output_dir))
    if (training.model_init_kwargs or {}).get("trust_remote_code"):
        raise RecipeError(f"{recipe.path}: model_init_kwargs: a recipe runs no code from a repository; remove it.")
    base = Path(resolve(recipe.model))
    if (base / "adapter_config.json").is_file():
        raise RecipeError(
            f"{recipe.path}: model_name_or_path: {recipe.model} is an adapter; merge it into its base and tune that."
        )
    adapter = adapter_of(recipe, model)
    if adapter is not None:
        check_targets(recipe.path, adapter, base)
    rows = rows_of_split(recipe, script.dataset_train_split, offline=offline)
    check_rows_fit(recipe, training, rows)
    check_remedies(recipe)
    split = script.dataset_train_split
    evaluates = training.eval_strategy != "no"
    return Parts(
        recipe=recipe,
        training=training,
        model=model,
        base=base,
        adapter=adapter,
        rows=rows,
        evaluation_rows=rows_of_split(recipe, script.dataset_test_split, offline=offline) if evaluates else (),
        replay_rows=rows_for(recipe, "replay_dataset_name", split, offline=offline),
        ewc_rows=rows_for(recipe, "ewc_dataset_name", split, offline=offline)[: recipe.extra.ewc_rows or EWC_ROWS],
        tokenizer=tokenizer_for(recipe, base),
    )


def trainer_of(parts: Parts) -> SFTTrainer:
    """Load the base model and build the trainer; the model enters trl by its folder, as in ``trl sft``."""
    from huggingface_hub import constants
    from trl import SFTTrainer

    # trl reports every trainer that is built to its maker; a test run tells nobody anything.
    constants.HF_HUB_DISABLE_TELEMETRY = True
    asked = {"attn_implementation": parts.model.attn_implementation, "dtype": parts.model.dtype}
    parts.training.model_init_kwargs = asked | (parts.training.model_init_kwargs or {})
    try:
        try_template(parts.base, parts.tokenizer, parts.training.chat_template_path, parts.rows)
        with without_bars(), old_names_between_libraries():
            trainer = SFTTrainer(
                model=str(parts.base),
                args=parts.training,
                train_dataset=_dataset(parts.rows),
                eval_dataset=_dataset(parts.evaluation_rows) if parts.evaluation_rows else None,
                processing_class=parts.tokenizer,
                peft_config=parts.adapter,
            )
    except (
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        RuntimeError,
        ImportError,
        OSError,
        TemplateError,
    ) as error:
        raise RecipeError(f"{parts.recipe.path}: trl refuses it: {one_line(error)}") from error
    _check_something_trains(parts, trainer)
    add_remedies(parts, trainer)
    return trainer


def _check_something_trains(parts: Parts, trainer: SFTTrainer) -> None:
    """There are rows, weights that move, and positions for both the rows and an adapter's virtual tokens."""
    path = parts.recipe.path
    if len(trainer.train_dataset) == 0:
        raise RecipeError(
            f"{path}: max_length: no row keeps a supervised token within {parts.training.max_length} "
            "tokens, so there is nothing to train on; raise it."
        )
    if not any(weight.requires_grad for weight in trainer.model.parameters()):
        raise RecipeError(f"{path}: {parts.recipe.extra.peft_type}: no weight would be trained; correct peft_config.")
    virtual = virtual_tokens(trainer.model)
    longest = max(len(ids) for ids in trainer.train_dataset["input_ids"])
    positions = getattr(trainer.model.config.get_text_config(), "max_position_embeddings", None)
    if virtual and positions and virtual + longest > positions:
        raise RecipeError(
            f"{path}: peft_config: {virtual} virtual tokens and a row of {longest} need more than the model's "
            f"{positions} positions; lower num_virtual_tokens or max_length."
        )


def _settings(recipe: Recipe, output_dir: Path) -> dict[str, Any]:
    """Return what is set over the recipe: nobody is told anything, and every step is logged as it is."""
    settings: dict[str, Any] = {
        "output_dir": str(output_dir),
        "report_to": "none",
        "disable_tqdm": True,
        # By default a loss that is not a number is left out of the log.
        "logging_strategy": "steps",
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
    }
    return settings | template_settings(recipe)


def _dataset(rows: tuple[Row, ...]) -> Dataset:
    from datasets import Dataset

    # Without this, Arrow gives all tool arguments one shape and fills the keys that a call lacks with null.
    return Dataset.from_list(list(rows), on_mixed_types="use_json")
