"""From a recipe to trl's ``SFTTrainer``, built as ``trl sft`` builds it, so that the suites inspect the real thing.

What differs from ``trl sft``, and only where the recipe does not say otherwise: nothing is reported or published, and
on the CPU the numbers are float32 (trl turns bfloat16 autocast on even there).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError

from harness.errors import DataError, NetworkError, RecipeError
from harness.rows import Row, checked_rows, read_rows
from harness.training.recipe import Recipe, configs, old_names_between_libraries, one_line

if TYPE_CHECKING:
    from datasets import Dataset
    from trl import ModelConfig, ScriptArguments, SFTConfig, SFTTrainer

Resolve = Callable[[str], str]
"""From a model reference's text to the local folder of its checkpoint."""


@dataclass(frozen=True)
class Parts:
    """What a trainer is built from, each part found and checked; ``base`` is the base model's folder."""

    recipe: Recipe
    script: ScriptArguments
    training: SFTConfig
    model: ModelConfig
    base: Path
    rows: tuple[Row, ...]
    evaluation_rows: tuple[Row, ...] = ()


def build_trainer(recipe: Recipe, resolve: Resolve, output_dir: Path, *, offline: bool = False) -> SFTTrainer:
    """Return the trainer that the recipe describes, its rows tokenised and masked, not yet run.

    Raises RecipeError for what trl refuses, DataError for a faulty row, NetworkError where data are out of reach.
    """
    return trainer_of(gather(recipe, resolve, output_dir, offline=offline))


def gather(recipe: Recipe, resolve: Resolve, output_dir: Path, *, offline: bool = False) -> Parts:
    """Find and read everything that the recipe names, without loading the model."""
    script, training, model = configs(recipe, _settings(recipe, output_dir))
    if (training.model_init_kwargs or {}).get("trust_remote_code"):
        raise RecipeError(f"{recipe.path}: model_init_kwargs: a recipe runs no code from a repository; remove it.")
    base = Path(resolve(recipe.model))
    if (base / "adapter_config.json").is_file():
        raise RecipeError(
            f"{recipe.path}: model_name_or_path: {recipe.model} is an adapter; merge it into its base and tune that."
        )
    evaluates = training.eval_strategy != "no"
    return Parts(
        recipe=recipe,
        script=script,
        training=training,
        model=model,
        base=base,
        rows=_rows(recipe, script, training, script.dataset_train_split, offline=offline),
        evaluation_rows=_rows(recipe, script, training, script.dataset_test_split, offline=offline)
        if evaluates
        else (),
    )


def trainer_of(parts: Parts) -> SFTTrainer:
    """Load the base model and build the trainer; the model enters trl by its folder, as in ``trl sft``."""
    from huggingface_hub import constants
    from trl import SFTTrainer, get_peft_config

    # trl reports every trainer that is built to its maker; a test run tells nobody anything.
    constants.HF_HUB_DISABLE_TELEMETRY = True
    asked = {"attn_implementation": parts.model.attn_implementation, "dtype": parts.model.dtype}
    parts.training.model_init_kwargs = asked | (parts.training.model_init_kwargs or {})
    try:
        with without_bars(), old_names_between_libraries():
            trainer = SFTTrainer(
                model=str(parts.base),
                args=parts.training,
                train_dataset=_dataset(parts.rows),
                eval_dataset=_dataset(parts.evaluation_rows) if parts.evaluation_rows else None,
                peft_config=get_peft_config(parts.model),
            )
    except (ValueError, TypeError, KeyError, RuntimeError, ImportError, NotImplementedError, TemplateError) as error:
        raise RecipeError(f"{parts.recipe.path}: trl refuses it: {one_line(error)}") from error
    if len(trainer.train_dataset) == 0:
        raise RecipeError(
            f"{parts.recipe.path}: max_length: no row keeps a supervised token within {parts.training.max_length} "
            "tokens, so there is nothing to train on; raise it."
        )
    return trainer


def found_beside(recipe: Recipe, name: str) -> Path | None:
    """Return a file or folder that the recipe names, sought beside the recipe first, then in the working directory."""
    return next((path for path in (recipe.path.parent / name, Path(name)) if path.exists()), None)


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
    template = recipe.values.get("chat_template_path")
    beside = found_beside(recipe, template) if isinstance(template, str) else None
    if beside is not None:
        settings["chat_template_path"] = str(beside)
    return settings


def _rows(
    recipe: Recipe, script: ScriptArguments, training: SFTConfig, split: str, *, offline: bool
) -> tuple[Row, ...]:
    name = str(script.dataset_name)
    path = found_beside(recipe, name)
    if path is not None and path.is_file():
        if path.suffix != ".jsonl":
            raise DataError(f"{path}: training rows are read from .jsonl files; convert it, one JSON object a line.")
        if split != script.dataset_train_split:
            raise RecipeError(
                f"{recipe.path}: eval_strategy: {path} is one file without a {split!r} split to evaluate on; "
                "set eval_strategy to 'no' or name a folder with both splits."
            )
        return tuple(read_rows(path, training.dataset_text_field))
    if path is None and (name.endswith(".jsonl") or name.startswith((".", "/", "~"))):
        raise DataError(f"{name}: neither beside {recipe.path} nor in the working directory; correct dataset_name.")
    if path is None and offline:
        raise NetworkError(
            f"{recipe.path}: dataset_name: {name} is no local file or folder, and the network may not be used; "
            "drop --offline or name a local file."
        )
    lines = _loaded(recipe, str(path or name), script.dataset_config, split)
    return tuple(checked_rows(lines, training.dataset_text_field))


def _loaded(recipe: Recipe, source: str, config: str | None, split: str) -> Iterator[tuple[str, Row]]:
    """Yield (place, row) of a split that ``datasets`` finds in a folder or on the hub."""
    from datasets import load_dataset

    with without_bars():
        try:
            rows = load_dataset(source, name=config, split=split)
        except ValueError as error:
            raise RecipeError(f"{recipe.path}: dataset_name: {source}: {one_line(error)}") from error
        except OSError as error:
            reached = DataError if Path(source).exists() else NetworkError
            raise reached(f"{source}: the data set cannot be loaded ({one_line(error)}); check its name.") from error
    for number, row in enumerate(rows):
        yield f"{source}[{split}] row {number}", row


def _dataset(rows: tuple[Row, ...]) -> Dataset:
    from datasets import Dataset

    # Without this, Arrow gives all tool arguments one shape and fills the keys that a call lacks with null.
    return Dataset.from_list(list(rows), on_mixed_types="use_json")


@contextmanager
def without_bars() -> Iterator[None]:
    """Hide the bars of ``datasets`` and ``transformers``: a dozen for every run, most of them gone in a moment."""
    from datasets.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
    from transformers.utils import logging

    datasets_shown, transformers_shown = not are_progress_bars_disabled(), logging.is_progress_bar_enabled()
    disable_progress_bars()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if datasets_shown:
            enable_progress_bars()
        if transformers_shown:
            logging.enable_progress_bar()
