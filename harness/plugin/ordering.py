"""The order of the cases: what needs files only comes first, then likelihoods, then answers, short trainings last.

The cheapest failure so shows first, and ``-x`` stops before the expensive part. What a case costs is told by what it
asks for, and by no list of names. ``-p no:harness.plugin.ordering`` leaves the cases as they were collected.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum

import pytest

from harness.lm_eval_tasks.sets import TaskSet
from harness.plugin.gathering import is_case
from harness.plugin.options import Options
from harness.plugin.state import OPTIONS

WEIGHTS = "weights"
"""The marker of a case that loads weights itself, where its fixtures do not show it."""

SCORED = {"questions", "prose", "noise_floor", "benchmark_of_choices", "preferred"}
"""With one of these a case asks the model for likelihoods, unless its prompts are to be answered."""

TRAINS = {"loop", "trained_stages"}
"""What trains a few steps, or whole stages."""


class Work(IntEnum):
    """What a case makes a model do, the cheapest first."""

    NOTHING = 0
    LIKELIHOODS = 1
    ANSWERS = 2
    TRAINING = 3


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Sort the cases, and keep their order within what costs the same.

    Being the last of its kind it sorts what pytest has grouped by fixtures and what another plugin has shuffled;
    ``--ff`` and ``--nf`` move items after it. Cases that are named one by one run as they are named.
    """
    if not any("::" in argument for argument in config.args):
        items.sort(key=costs(items, config.stash[OPTIONS]))


def costs(items: Sequence[pytest.Item], options: Options) -> Callable[[pytest.Item], tuple[bool, Work]]:
    """What the cases are sorted by: whether a recipe must be trained for one, and what it makes a model do.

    The files of a model are those that the training wrote, where any case of the run asks the trained model.
    """
    model_is_asked = any("model" in fixtures_of(item) for item in items)

    def cost(item: pytest.Item) -> tuple[bool, Work]:
        asked = fixtures_of(item)
        trained = options.recipe is not None and ("model_ref" in asked or ("saved" in asked and model_is_asked))
        return trained, work_of(item)

    return cost


def work_of(item: pytest.Item) -> Work:
    """What a case makes a model do, as far as its fixtures, parameters and markers tell; unknown is expensive."""
    asked = fixtures_of(item)
    if asked & TRAINS or item.get_closest_marker("slow"):
        return Work.TRAINING
    if "model" in asked:
        return Work.LIKELIHOODS if _only_scores(item) else Work.ANSWERS
    return Work.LIKELIHOODS if item.get_closest_marker(WEIGHTS) else Work.NOTHING


def fixtures_of(item: pytest.Item) -> frozenset[str]:
    """The fixtures that a case leads to; of a test that is no case of a suite, only those that this plugin defines."""
    known = getattr(item, "_fixtureinfo", None)  # pytest offers no other way to where a fixture comes from
    if known is None:
        return frozenset()
    if is_case(item):
        return frozenset(known.names_closure)
    return frozenset(name for name, found in known.name2fixturedefs.items() if _is_ours(name, found))


def _is_ours(name: str, definitions: Sequence[pytest.FixtureDef[object]]) -> bool:
    """Whether a name stands for a fixture of this plugin, or for another's that is built on it."""
    for each in reversed(definitions):
        if each.func.__module__.startswith("harness.plugin."):
            return True
        if name not in each.argnames:
            return False
    return False


def _only_scores(item: pytest.Item) -> bool:
    """Whether all that a case asks of the model is known, and are likelihoods."""
    names = set(getattr(item, "fixturenames", ()))
    if "answerable" in names:
        return False
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    if parameters.get("benchmark_score") is not None:
        return not parameters["benchmark_score"][0].max_new_tokens
    if parameters.get("lm_eval_score") is not None:
        return not _is_generated(parameters["lm_eval_score"][0])
    return bool(SCORED & names)


def _is_generated(tasks: TaskSet) -> bool:
    return any(task.config.get("output_type", "generate_until") == "generate_until" for task in tasks.tasks)
