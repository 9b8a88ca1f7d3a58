"""``python -m harness train RECIPE --output DIR``: a model that a recipe describes, its progress on the screen."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from harness.commands.course import shown_steps, told
from harness.once import default_cache

if TYPE_CHECKING:
    from harness.training.recipe import Recipe
    from harness.training.run import Trained


def add_to(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Register the command and its options."""
    parser = commands.add_parser("train", help="train as a recipe says, into a folder that --model takes")
    parser.add_argument("recipe", type=Path, metavar="RECIPE", help="a YAML file in the keys of trl")
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="DIR",
        help="where the model goes; it appears when it is whole, and the same command goes on where it was interrupted",
    )
    parser.add_argument("--offline", action="store_true", help="no network at all; an error where one would be needed")
    parser.add_argument("--cache-dir", type=Path, default=default_cache(), metavar="DIR", help="default: %(default)s")
    parser.set_defaults(run=run, interrupted="the same command goes on from what was saved last")


def run(options: argparse.Namespace) -> int:
    """Train; 0 when the model is there."""
    console = Console(file=sys.stdout)
    for model in _trained(options, Console(stderr=True)):
        for line in told(model):
            console.print(Text(line), soft_wrap=True)
    return 0


def _trained(options: argparse.Namespace, screen: Console) -> list[Trained]:
    """One model; of a recipe with stages one for each, in folders of their names, numbered."""
    from harness.models.fetch import Access, checkpoint_folder
    from harness.models.load import LoadOptions
    from harness.references import parse_reference
    from harness.training.recipe import load_recipe
    from harness.training.run import train_into
    from harness.training.stage_runs import train_stages
    from harness.training.stages import check_stages, stages_of

    recipe = load_recipe(options.recipe)
    stages = stages_of(recipe)
    check_stages(stages)
    access = Access(options.cache_dir, options.offline)

    def resolve(text: str) -> str:
        return str(checkpoint_folder(parse_reference(text), access))

    def tell(said: str) -> None:
        screen.print(Text(said), soft_wrap=True)

    def into(folder: Path, recipe: Recipe) -> Trained:
        with shown_steps(screen) as progress:
            return train_into(folder, recipe, resolve, progress, tell=tell, offline=options.offline)

    if not stages:
        return [into(options.output, recipe)]
    places = {stage.name: options.output.resolve() / f"{number}-{stage.name}" for number, stage in enumerate(stages, 1)}

    def train_stage(name: str, recipe: Recipe) -> Trained:
        tell(f"stage {name}")
        return into(places[name], recipe)

    return [replace(done.trained, folder=done.model) for done in train_stages(stages, train_stage, LoadOptions(access))]
