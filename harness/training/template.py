"""The chat template that a recipe asks for by ``chat_template_path``: a file, another model's, or a named format."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.chat.formats import FORMATS, load
from harness.errors import ModelError, RecipeError
from harness.training.data import found_beside
from harness.training.recipe import Recipe

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SUFFIXES = (".jinja", ".j2")
"""By these trl tells a template's file from a model."""


def template_settings(recipe: Recipe) -> dict[str, Any]:
    """What trl is told instead of what the recipe says.

    A path becomes that of the file or folder found. Of a named format trl is told nothing, for ``tokenizer_for``
    applies it; but the format's own terminator becomes the eos token, so that generation stops on it.
    Raises RecipeError where there is no such file, model or format.
    """
    asked = recipe.values.get("chat_template_path")
    if not isinstance(asked, str):
        return {}
    if (name := named_format(recipe)) is not None:
        terminator = recipe.values.get("eos_token") or FORMATS[name].terminator or None
        return {"chat_template_path": None, "eos_token": terminator}
    path = found_beside(recipe, asked)
    if path is not None and path.is_file() and path.suffix not in SUFFIXES:
        raise RecipeError(f"{recipe.path}: chat_template_path: {path} must be called .jinja or .j2; rename it.")
    if path is None:
        _check_hub_id(recipe, asked)
    return {"chat_template_path": str(path or asked)}


def named_format(recipe: Recipe) -> str | None:
    """The named format that the recipe asks for; a template or a model of that name beside the recipe wins over it."""
    asked = recipe.values.get("chat_template_path")
    if not isinstance(asked, str) or asked not in FORMATS:
        return None
    path = found_beside(recipe, asked)
    return asked if path is None or not _holds_a_template(path) else None


def tokenizer_for(recipe: Recipe, base: Path) -> PreTrainedTokenizerBase | None:
    """The base model's tokenizer with the named format in it; None where the recipe names none.

    Raises RecipeError where the tokenizer lacks what the format writes.
    """
    name = named_format(recipe)
    if name is None:
        return None
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(str(base))
    asked_eos = recipe.values.get("eos_token")
    if asked_eos in tokenizer.get_vocab():
        tokenizer.eos_token = asked_eos
    try:
        tokenizer.chat_template = load(name, tokenizer)
    except ModelError as error:
        raise RecipeError(f"{recipe.path}: chat_template_path: {error}.") from error
    return tokenizer


def _holds_a_template(path: Path) -> bool:
    return path.is_file() or (path / "tokenizer_config.json").is_file() or (path / "chat_template.jinja").is_file()


def _check_hub_id(recipe: Recipe, asked: str) -> None:
    """What is no path and no format may still be a model of the hub, if it looks like one."""
    if asked.endswith(SUFFIXES) or asked.startswith((".", "/", "~")):
        raise RecipeError(
            f"{recipe.path}: chat_template_path: {asked} is neither beside the recipe nor in the working directory; "
            "correct the path."
        )
    if "/" not in asked:
        nearest = difflib.get_close_matches(asked, FORMATS, n=1)
        advice = f"the nearest is {nearest[0]!r}" if nearest else "name one of these, or a .jinja file"
        raise RecipeError(
            f"{recipe.path}: chat_template_path: {asked!r} is no file, no folder and no format "
            f"({', '.join(FORMATS)}); {advice}."
        )
