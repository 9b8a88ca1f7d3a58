"""Methods of tuning beside full tuning: LoRA and its kin by trl's keys, every other method of peft by its own names."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import RecipeError

if TYPE_CHECKING:
    from peft import PeftConfig
    from trl import ModelConfig

    from harness.training.recipe import Recipe

SET_BY_TRAINING = ("peft_type", "task_type", "inference_mode", "base_model_name_or_path", "revision", "peft_version")
"""Fields of peft's configurations that no recipe sets: training knows them."""

ONE_OF_THREE = "use_peft (LoRA, by trl's keys), peft_type (any method of peft) or neither (full tuning)"


def check_method(path: Path, values: Mapping[str, Any]) -> None:
    """Say what of a recipe's method contradicts itself or is unknown to peft; raises RecipeError."""
    method = values.get("peft_type")
    if method is not None and values.get("use_peft"):
        raise RecipeError(f"{path}: use_peft and peft_type: {method} ask for two methods; a recipe has {ONE_OF_THREE}.")
    if method is None and values.get("peft_config") is not None:
        raise RecipeError(
            f"{path}: peft_config: there is no peft_type that it belongs to; name the method, or write LoRA's settings "
            "as lora_r, lora_alpha and so on."
        )
    _check_lora_keys(path, values)
    if method is not None:
        _check_names(path, method, values.get("peft_config") or {})
        _check_together(path, method, values)


def adapter_of(recipe: Recipe, model: ModelConfig) -> PeftConfig | None:
    """Return peft's configuration of the adapter to train; None for full tuning.

    Raises RecipeError for settings that peft refuses.
    """
    from trl import get_peft_config

    method = recipe.extra.peft_type
    if method is None:
        lora: Any = get_peft_config(model)
        named = recipe.values.get("lora_target_modules")
        if lora is not None and isinstance(named, list):
            # trl takes the one entry out of a list of one, and peft reads a text as a pattern of the whole name.
            lora.target_modules = set(named)
        return lora
    try:
        config: PeftConfig = _kind(method)(task_type="CAUSAL_LM", **(recipe.extra.peft_config or {}))
    except (ValueError, TypeError) as error:
        raise RecipeError(f"{recipe.path}: peft_config: peft refuses it: {' '.join(str(error).split())}") from error
    number = getattr(config, "num_virtual_tokens", 1)
    if not isinstance(number, int) or number < 1:
        raise RecipeError(
            f"{recipe.path}: peft_config: {method} needs num_virtual_tokens, a whole number above 0, not {number!r}."
        )
    return config


def fills_a_cache(values: Mapping[str, Any]) -> bool:
    """Whether the recipe's virtual tokens are keys and values, which gradient checkpointing throws away."""
    return values.get("peft_type") in ("PREFIX_TUNING", "CARTRIDGE")


def nearest(word: str, known: Iterable[str], otherwise: str) -> str:
    """The half of a sentence that helps with a word that is unknown."""
    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"the nearest is {found[0]!r}" if found else otherwise


def _check_lora_keys(path: Path, values: Mapping[str, Any]) -> None:
    """trl passes over these in silence without ``use_peft``; ``use_peft: false`` switches them off on purpose."""
    asked = [key for key in values if (key.startswith("lora_") or key in ("use_rslora", "use_dora")) and values[key]]
    if asked and "use_peft" not in values:
        raise RecipeError(
            f"{path}: {asked[0]}: without use_peft: true it has no effect, and all weights would be tuned; add "
            "use_peft, or remove the key."
        )


def _check_names(path: Path, method: str, settings: Mapping[str, Any]) -> None:
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    known = [kind.value for kind in PEFT_TYPE_TO_CONFIG_MAPPING]
    if method not in known:
        raise RecipeError(
            f"{path}: peft_type: peft has no method {method!r}; {nearest(method.upper(), known, ', '.join(known))}."
        )
    fields = [field.name for field in dataclasses.fields(_kind(method)) if field.init]
    for key in settings:
        if key in SET_BY_TRAINING:
            raise RecipeError(f"{path}: peft_config: {key} is set by the training itself; remove it.")
        if key not in fields:
            offered = ", ".join(name for name in fields if name not in SET_BY_TRAINING)
            advice = nearest(str(key), fields, f"it has {offered}")
            raise RecipeError(f"{path}: peft_config: {method} has no setting {key!r}; {advice}.")


def _check_together(path: Path, method: str, values: Mapping[str, Any]) -> None:
    """What virtual tokens cannot be combined with."""
    from peft import PromptLearningConfig

    if not issubclass(_kind(method), PromptLearningConfig):
        return
    packed = next((key for key in ("packing", "padding_free", "eval_packing") if values.get(key)), None)
    if packed:
        raise RecipeError(
            f"{path}: {packed}: {method} puts virtual tokens before every text, and texts that share a row would have "
            "one set of them and see each other; remove it."
        )
    if fills_a_cache(values) and values.get("gradient_checkpointing"):
        raise RecipeError(
            f"{path}: gradient_checkpointing: it throws away the cache in which {method} keeps its virtual tokens, so "
            "nothing would be learned; set it to false."
        )


def _kind(method: str) -> Any:
    from peft import PeftType
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    return PEFT_TYPE_TO_CONFIG_MAPPING[PeftType(method)]
