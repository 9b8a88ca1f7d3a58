"""Continual tuning: the stages of a recipe, each of which begins where the one before it has ended.

Every stage is a recipe of its own: the keys of the whole file, with those that the stage says in their place.
Reading them loads neither trl nor a model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.errors import RecipeError
from harness.training.recipe import Recipe, check_keys

OWN = ("name", "samples", "metric")
"""What a stage says beside the keys of a recipe: its name, the file of samples that judges it, and by which metric."""

WHOLE = ("stages", "model_name_or_path", "model_revision")
"""What only the whole file says."""


@dataclass(frozen=True)
class Stage:
    """One stage: ``recipe`` starts from the whole file's model until ``starting_from`` names another.

    ``metric`` is None where the kind of the samples decides.
    """

    name: str
    recipe: Recipe
    samples: Path
    metric: str | None

    def starting_from(self, model: str) -> Recipe:
        """The recipe of this stage, from what the stage before it has left."""
        values = {key: value for key, value in self.recipe.values.items() if key != "model_revision"}
        return replace(self.recipe, values=values | {"model_name_or_path": model})


def stages_of(recipe: Recipe) -> tuple[Stage, ...]:
    """The stages of a recipe in their order; empty where it has none.

    Raises RecipeError where a stage has no name of its own, no samples, or nothing to train on.
    """
    listed = recipe.values.get("stages")
    if listed is None:
        return ()
    if not isinstance(listed, list) or len(listed) < 2:
        raise RecipeError(f"{recipe.path}: stages: a list of two stages or more is expected; one stage is a recipe.")
    stages = tuple(_stage(recipe, number, said) for number, said in enumerate(listed, start=1))
    names = [stage.name for stage in stages]
    for name in names:
        if names.count(name) > 1:
            raise RecipeError(f"{recipe.path}: stages: two are called {name!r}, and scores go by names; rename one.")
    return stages


def check_stages(stages: Iterable[Stage]) -> None:
    """Check every stage's keys and values as those of a recipe; raises RecipeError with the stage's name."""
    for stage in stages:
        try:
            check_keys(stage.recipe)
        except RecipeError as error:
            raise RecipeError(f"{str(error).rstrip('.')} (in stage {stage.name!r}).") from error


def _stage(recipe: Recipe, number: int, said: Any) -> Stage:
    place = f"{recipe.path}: stages: number {number}"
    if not isinstance(said, Mapping):
        raise RecipeError(f"{place} is a {type(said).__name__}; give a mapping with name, samples and dataset_name.")
    name = said.get("name")
    if not isinstance(name, str) or not name.strip() or "/" in name:
        raise RecipeError(f"{place} has no name, or one with a slash; give each stage a short one.")
    place = f"{recipe.path}: stage {name!r}"
    for key in WHOLE:
        if key in said:
            raise RecipeError(f"{place}: {key} belongs to the whole recipe, since a stage goes on from the one before.")
    values = {key: value for key, value in recipe.values.items() if key != "stages"}
    values |= {key: value for key, value in said.items() if key not in OWN}
    if not isinstance(values.get("dataset_name"), str):
        raise RecipeError(f"{place}: dataset_name is missing; a stage names the rows that it trains on.")
    return Stage(name, replace(recipe, values=values), _samples(recipe, place, said), _metric(place, said))


def _samples(recipe: Recipe, place: str, said: Mapping[str, Any]) -> Path:
    named = said.get("samples")
    if not isinstance(named, str) or not named:
        raise RecipeError(f"{place}: samples is missing; name the file of samples that this stage is judged by.")
    found = next((path for path in (recipe.path.parent / named, Path(named)) if path.is_file()), None)
    if found is None:
        raise RecipeError(f"{place}: samples: {named}: neither beside the recipe nor in the working directory.")
    return found


def _metric(place: str, said: Mapping[str, Any]) -> str | None:
    metric = said.get("metric")
    if metric is not None and not isinstance(metric, str):
        raise RecipeError(f"{place}: metric: a name is expected, such as exact_match.")
    return metric
