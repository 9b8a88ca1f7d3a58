"""Recipes: a training run as YAML, with the keys of trl's ``SFTConfig``, ``ModelConfig`` and ``ScriptArguments``.

A file for ``trl sft --config`` is a valid recipe. Values go through trl's own parser, so that a text such as ``1e-4``
(YAML 1.1 reads it as text) becomes a number here as it does there.
"""

from __future__ import annotations

import dataclasses
import typing
import warnings
from argparse import ArgumentError
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from harness.errors import RecipeError
from harness.training.bounds import check_bounds
from harness.training.extra_keys import ExtraKeys, extra_keys, trl_keys
from harness.training.methods import check_method, fills_a_cache, nearest

if TYPE_CHECKING:
    from trl import ModelConfig, ScriptArguments, SFTConfig

REFUSED = {
    "push_to_hub": "nothing is published from a test run; remove it and push the trained folder yourself",
    "trust_remote_code": "a recipe runs no code from a repository; remove it",
    "env": "set environment variables in the shell, before Python starts",
    "config": "a recipe is one file; copy the other file's keys into it",
    "datasets": "mixtures are not supported yet; join the rows into one file and name it in dataset_name",
    "dataset_streaming": "streaming is not supported yet; every row is read and checked before training",
    "resume_from_checkpoint": "a run is whole or not there; remove it",
    "load_in_4bit": "quantised training is not supported yet; use full tuning or LoRA",
    "load_in_8bit": "quantised training is not supported yet; use full tuning or LoRA",
    "deepspeed": "training on several processes is not supported yet; remove it",
    "fsdp": "training on several processes is not supported yet; remove it",
    "num_processes": "training on several processes is not supported yet; remove it",
    "accelerate_config": "training on several processes is not supported yet; remove it",
}
"""Keys that trl knows and this package does not follow, each with what to do instead."""


@dataclass(frozen=True)
class Recipe:
    """A recipe whose keys and values have been checked; ``values`` holds them as the file writes them."""

    path: Path
    values: Mapping[str, Any]

    @property
    def model(self) -> str:
        """The base model's reference; a ``model_revision`` joins it after an ``@``."""
        return _model(self.values)

    @property
    def extra(self) -> ExtraKeys:
        """What it says beyond trl's keys."""
        return extra_keys(self.values)


def check_recipe_file(path: Path) -> dict[str, Any]:
    """Read the YAML and say what can be said without trl: it is there, well formed, and asks for nothing refused."""
    values = _yaml_mapping(path)
    _check_refused(path, values)
    # Where there are stages, each of them names its data.
    for key in ("model_name_or_path", *(("dataset_name",) if values.get("stages") is None else ())):
        if not isinstance(values.get(key), str) or not values[key].strip():
            raise RecipeError(f"{path}: {key} is missing or not a text; a recipe names its base model and its data.")
    return values


def base_reference(path: Path) -> str:
    """Return the reference of the base model that a recipe file names, without importing trl."""
    return _model(check_recipe_file(path))


def load_recipe(path: Path) -> Recipe:
    """Read and check a recipe: unknown keys, wrong types and contradictions, before anything is trained.

    Raises RecipeError with the file, the key and what was expected. Imports trl.
    """
    recipe = Recipe(path, check_recipe_file(path))
    check_keys(recipe)
    return recipe


def check_keys(recipe: Recipe) -> None:
    """See that trl, peft and this package know every key and take every value; raises RecipeError with the key."""
    path, values = recipe.path, recipe.values
    _check_refused(path, values)
    _check_known(path, values)
    _check_types(path, values)
    check_method(path, values)
    configs(recipe, {"output_dir": str(path.parent)})


def configs(recipe: Recipe, changes: Mapping[str, Any]) -> tuple[ScriptArguments, SFTConfig, ModelConfig]:
    """Return trl's three configurations of a recipe, with ``changes`` over what it says."""
    from trl import ModelConfig, ScriptArguments, SFTConfig, TrlParser

    values = trl_keys(_where_silent(recipe.values) | dict(recipe.values) | dict(changes))
    _check_types(recipe.path, values)
    parser = TrlParser((ScriptArguments, SFTConfig, ModelConfig), exit_on_error=False)
    parser.set_defaults_with_config(**values)
    try:
        with old_names_between_libraries():
            script, training, model = parser.parse_args_into_dataclasses(args=[], look_for_args_file=False)
    except ArgumentError as error:
        key = str(error.argument_name).split("/")[0].lstrip("-")
        raise RecipeError(f"{recipe.path}: {key}: {error.message}; correct the value.") from None
    except (ValueError, TypeError, ImportError) as error:
        raise RecipeError(f"{recipe.path}: trl refuses it: {one_line(error)}") from error
    check_bounds(recipe.path, training, model)
    return script, training, model


def _where_silent(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what holds where the recipe says nothing, and trl's own default would not do."""
    import torch

    silent: dict[str, Any] = {"save_strategy": "no"}
    if fills_a_cache(values):
        silent["gradient_checkpointing"] = False
    if not torch.cuda.is_available():
        # trl would turn bfloat16 on; torch warns of pinned memory where no accelerator is.
        silent |= {"use_cpu": True, "bf16": False, "dataloader_pin_memory": False}
    return silent


@contextmanager
def old_names_between_libraries() -> Iterator[None]:
    """Hide the warning that trl and peft call activation checkpointing by its old name; no recipe can help it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"`\w*gradient_checkpointing\w*` is deprecated", FutureWarning)
        yield


def one_line(error: BaseException) -> str:
    """Return an exception's message on one line."""
    return " ".join(str(error).split()) or type(error).__name__


def _model(values: Mapping[str, Any]) -> str:
    name, revision = str(values["model_name_or_path"]), values.get("model_revision", "main")
    return name if revision == "main" else f"{name}@{revision}"


def _yaml_mapping(path: Path) -> dict[str, Any]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise RecipeError(f"{path}: the recipe cannot be read ({error.strerror}); check the path.") from None
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path}: not UTF-8 at byte {error.start}; save the file as UTF-8.") from None
    try:
        values = yaml.load(text, _UniqueKeysLoader)  # noqa: S506 - a SafeLoader with one check more
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise RecipeError(f"{path}{where}: not valid YAML: {error.problem}; correct the line.") from None
    except yaml.YAMLError as error:
        raise RecipeError(f"{path}: not valid YAML: {one_line(error)}.") from None
    if not isinstance(values, dict):
        raise RecipeError(f"{path}: a recipe is a mapping of keys to values, this is {_type_name(values)}.")
    return values


class _UniqueKeysLoader(yaml.SafeLoader):
    """YAML's safe loader, which otherwise lets the last of two equal keys win in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key.value!r} stands there twice", problem_mark=key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


def _check_refused(path: Path, values: Mapping[str, Any]) -> None:
    for key, advice in REFUSED.items():
        if values.get(key):
            raise RecipeError(f"{path}: {key}: {advice}.")


def _check_known(path: Path, values: Mapping[str, Any]) -> None:
    known = _hints() | typing.get_type_hints(ExtraKeys)
    for key in values:
        if key in known or key in REFUSED:
            continue
        advice = nearest(str(key), known, "see trl's SFTConfig and ModelConfig for the keys")
        raise RecipeError(f"{path}: unknown key {key!r}; {advice}.")


def _check_types(path: Path, values: Mapping[str, Any]) -> None:
    """Check what the parser does not: it converts texts and takes every other value as it comes."""
    hints = _hints() | typing.get_type_hints(ExtraKeys)
    for key, value in values.items():
        if key in hints and not isinstance(value, str) and not _fits(value, hints[key]):
            expected = getattr(hints[key], "__name__", None) or str(hints[key]).replace("typing.", "")
            raise RecipeError(f"{path}: {key}: {expected} is expected, {value!r} is {_type_name(value)}.")
    for field in _fields():
        choices = field.metadata.get("choices")
        if choices and values.get(field.name) not in (None, *choices):
            raise RecipeError(f"{path}: {field.name}: {values[field.name]!r} is none of {', '.join(choices)}.")


def _fields() -> Iterator[dataclasses.Field[Any]]:
    from trl import ModelConfig, ScriptArguments, SFTConfig

    for config in (ScriptArguments, SFTConfig, ModelConfig):
        yield from (field for field in dataclasses.fields(config) if field.init)


def _hints() -> dict[str, Any]:
    from trl import ModelConfig, ScriptArguments, SFTConfig

    hints = {
        name: hint
        for config in (ScriptArguments, SFTConfig, ModelConfig)
        for name, hint in typing.get_type_hints(config).items()
    }
    return {field.name: hints[field.name] for field in _fields()}


def _fits(value: Any, hint: Any) -> bool:
    """Whether a YAML value can stand where ``hint`` is declared; an integer serves as a float."""
    options = typing.get_args(hint) if typing.get_origin(hint) not in (list, dict) else (hint,)
    kinds = tuple(typing.get_origin(option) or option for option in options or (hint,))
    if Any in kinds:
        return True
    if isinstance(value, bool) or value is None:
        return type(value) in kinds
    if isinstance(value, int) and float in kinds:
        return True
    return isinstance(value, tuple(kind for kind in kinds if isinstance(kind, type)))


def _type_name(value: Any) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"
