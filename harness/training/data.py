"""The rows that a recipe names, wherever they are, read and checked before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.errors import DataError, NetworkError, RecipeError
from harness.rows import Row, checked_rows, read_rows
from harness.training.recipe import Recipe, one_line


def training_rows_of(recipe: Recipe, *, offline: bool = False) -> list[Row]:
    """Return the rows that the recipe trains on, in the forms of ``harness.rows``."""
    return list(rows_of_split(recipe, _training_split(recipe), offline=offline))


def rows_of_split(recipe: Recipe, split: str, *, offline: bool = False) -> tuple[Row, ...]:
    """Read and check one split of the recipe's ``dataset_name``: a .jsonl file, a folder, or a hub id.

    A file has only the training split. Raises DataError with the row, NetworkError where a download may not be.
    """
    name, text_field = str(recipe.values["dataset_name"]), str(recipe.values.get("dataset_text_field", "text"))
    path = found_beside(recipe, name)
    if path is not None and path.is_file():
        if path.suffix != ".jsonl":
            raise DataError(f"{path}: training rows are read from .jsonl files; convert it, one JSON object a line.")
        if split != _training_split(recipe):
            raise RecipeError(
                f"{recipe.path}: eval_strategy: {path} is one file without a {split!r} split to evaluate on; "
                "set eval_strategy to 'no' or name a folder with both splits."
            )
        return tuple(read_rows(path, text_field))
    if path is None and (name.endswith(".jsonl") or name.startswith((".", "/", "~"))):
        raise DataError(f"{name}: neither beside {recipe.path} nor in the working directory; correct dataset_name.")
    if path is None and offline:
        raise NetworkError(
            f"{recipe.path}: dataset_name: {name} is no local file or folder, and the network may not be used; "
            "drop --offline or name a local file."
        )
    rows = tuple(checked_rows(_loaded(recipe, str(path or name), split), text_field))
    if not rows:
        raise DataError(f"{path or name}[{split}]: holds no training row; name another split or data set.")
    return rows


def _training_split(recipe: Recipe) -> str:
    return str(recipe.values.get("dataset_train_split", "train"))


def _loaded(recipe: Recipe, source: str, split: str) -> Iterator[tuple[str, Row]]:
    """Yield (place, row) of a split that ``datasets`` finds in a folder or on the hub."""
    from datasets import load_dataset

    with without_bars():
        try:
            rows = load_dataset(source, name=recipe.values.get("dataset_config"), split=split)
        except ValueError as error:
            raise RecipeError(f"{recipe.path}: dataset_name: {source}: {one_line(error)}") from error
        except OSError as error:
            reached = DataError if Path(source).exists() else NetworkError
            raise reached(f"{source}: the data set cannot be loaded ({one_line(error)}); check its name.") from error
    for number, row in enumerate(rows):
        yield f"{source}[{split}] row {number}", row


def found_beside(recipe: Recipe, name: str) -> Path | None:
    """Return a file or folder that the recipe names, sought beside the recipe first, then in the working directory."""
    return next((path for path in (recipe.path.parent / name, Path(name)) if path.exists()), None)


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
