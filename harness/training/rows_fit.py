"""Whether the rows have what the recipe's loss asks for: a completion to learn alone, an assistant to learn from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.errors import RecipeError
from harness.rows import Row
from harness.training.recipe import Recipe

if TYPE_CHECKING:
    from trl import SFTConfig


def check_rows_fit(recipe: Recipe, training: SFTConfig, rows: Sequence[Row]) -> None:
    """Raise RecipeError for a mask that these rows cannot have; trl learns all of them in silence, or says it later.

    Rows of one file have one form, so the first one tells.
    """
    row, data = rows[0], recipe.values["dataset_name"]
    if training.completion_only_loss and "completion" not in row:
        instead = "assistant_only_loss: true" if "messages" in row else "rows with prompt and completion"
        raise RecipeError(
            f"{recipe.path}: completion_only_loss: the rows of {data} have {_keys(row)} and no completion, so all of "
            f"each row would be learned; use {instead}."
        )
    if training.assistant_only_loss and not isinstance(row.get("messages", row.get("prompt")), list):
        raise RecipeError(
            f"{recipe.path}: assistant_only_loss: the rows of {data} have {_keys(row)} and no messages with roles, so "
            "there is no assistant to tell apart; remove the key, or give rows of messages."
        )


def _keys(row: Row) -> str:
    return " and ".join(row)
