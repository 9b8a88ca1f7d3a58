"""Modules that an adapter names, looked up in its base model before any weight is loaded."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import RecipeError
from harness.models.bare import bare_model, is_called

if TYPE_CHECKING:
    from peft import PeftConfig

NAMING = ("target_modules", "modules_to_save", "feedforward_modules")
"""Settings of peft's methods that name modules of the base model."""


def check_targets(recipe: Path, adapter: PeftConfig, base: Path) -> None:
    """See that every module that the adapter names is in the base model whose folder is ``base``.

    peft itself refuses a list of which nothing is there, and is silent about one of which only some is.
    Raises RecipeError with the name that is not there, and those that are.
    """
    every: dict[str, Any] = {setting: getattr(adapter, setting, None) for setting in NAMING}
    asked = {setting: names for setting, names in every.items() if names and names != "all-linear"}
    if not asked:
        return
    names = [name for name, _ in bare_model(base).named_modules() if name]
    for setting, wanted in asked.items():
        for each in [wanted] if isinstance(wanted, str) else sorted(wanted):
            if not _is_there(each, names, pattern=isinstance(wanted, str)):
                raise RecipeError(f"{recipe}: {setting}: {base.name} has no module {each!r}; {_advice(each, names)}.")


def _is_there(wanted: str, names: list[str], *, pattern: bool) -> bool:
    """By peft's own rule: a text is a pattern of the whole name, an entry of a list a name or its end."""
    if pattern:
        return any(re.fullmatch(wanted, name) for name in names)
    return any(is_called(wanted, name) for name in names)


def _advice(wanted: str, names: list[str]) -> str:
    """The nearest name, and all that repeat from layer to layer."""
    ends = list(dict.fromkeys(name.rpartition(".")[2] for name in names))
    ends = [end for end in ends if not end.isdigit()]
    if wanted in ends:
        return f"a text is a pattern of the whole name, so write a list, [{wanted}]"
    close = difflib.get_close_matches(wanted, ends, n=1)
    return (f"the nearest is {close[0]!r}; " if close else "") + f"there are {', '.join(ends)}"
