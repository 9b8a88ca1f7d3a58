"""Collection: which sample sets and stages a case runs over, and how many comparisons the whole run will make."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.plugin.options import Options
from harness.plugin.state import OPTIONS, PLACE, PROCESS
from harness.ratings.rubric import CRITERIA
from harness.records import SampleSet
from harness.samples import choice_part, read_samples, subset, text_part
from harness.training.recipe import Recipe, check_recipe_file
from harness.training.stages import stages_of

CUT = pytest.StashKey[set[str]]()

PARTS = {"questions": ("general_knowledge.jsonl", choice_part), "tasks": ("quality.jsonl", text_part)}
"""Fixture name -> (the bundled file in ``data/`` beside the case, the part of a user's file that joins)."""


def parametrize_samples(metafunc: pytest.Metafunc) -> None:
    """Run a case over the bundled sample set and over each of the user's that fits."""
    options = metafunc.config.stash[OPTIONS]
    for fixture, (bundled, part) in PARTS.items():
        if fixture not in metafunc.fixturenames:
            continue
        sets = [bundled_samples(metafunc.definition.path, bundled, options)]
        mine = (part(samples) for samples in options.samples)
        sets += [subset(samples, options.limit, options.seed) for samples in mine if samples is not None]
        metafunc.parametrize(fixture, sets, ids=[samples.name for samples in sets], scope="session")


def parametrize_stages(metafunc: pytest.Metafunc) -> None:
    """Run a case over each pair of a stage and a later one, by their names; once, and skipped, without stages."""
    if "stage_pair" not in metafunc.fixturenames:
        return
    path = metafunc.config.stash[OPTIONS].recipe
    try:
        stages = () if path is None else stages_of(Recipe(path, check_recipe_file(path)))
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None
    pairs = list(combinations([stage.name for stage in stages], 2))
    if pairs:
        ids = [f"{earlier}-after-{later}" for earlier, later in pairs]
        metafunc.parametrize("stage_pair", pairs, ids=ids, scope="session")
        return
    without = pytest.mark.skip(reason="no stages to compare: name a recipe with stages (--recipe FILE)")
    metafunc.parametrize("stage_pair", [pytest.param(None, marks=without)], ids=["no-stages"])


def parametrize_ratings(metafunc: pytest.Metafunc) -> None:
    """Run a case over each criterion that people or a judge rate by; once, and skipped, without their ratings."""
    if "criterion" not in metafunc.fixturenames:
        return
    if metafunc.config.stash[OPTIONS].ratings is not None:
        metafunc.parametrize("criterion", list(CRITERIA), scope="session")
        return
    without = pytest.mark.skip(reason="nobody has rated the answers (python -m harness ratings sheet, --ratings FILE)")
    metafunc.parametrize("criterion", [pytest.param(None, marks=without)], ids=["no-ratings"])


def parametrize_benchmarks(metafunc: pytest.Metafunc) -> None:
    """Run a case over each chosen benchmark, or each of its metrics; once, and skipped, where none is named.

    No data is read for it.
    """
    chosen = metafunc.config.stash[OPTIONS].benchmarks
    over: dict[str, dict[str, object]] = {
        "benchmark_score": {f"{each.name}-{metric}": (each, metric) for each in chosen for metric in each.metrics},
        "benchmark_of_choices": {each.name: each.name for each in chosen if each.scoring in ("choice", "mass")},
    }
    for fixture in over.keys() & set(metafunc.fixturenames):
        if cases := over[fixture]:
            metafunc.parametrize(fixture, cases.values(), ids=cases, scope="session")
            continue
        without = pytest.mark.skip(reason="no general benchmark is named (--benchmarks arc_easy,piqa or small)")
        metafunc.parametrize(fixture, [pytest.param(None, marks=without)], ids=["no-benchmarks"])


def parametrize_lm_eval(metafunc: pytest.Metafunc) -> None:
    """Run a case over each number that the named lm-eval tasks declare; once, and skipped, where none is named."""
    if "lm_eval_score" not in metafunc.fixturenames:
        return
    sets = metafunc.config.stash[OPTIONS].lm_eval
    scores = [(tasks, score) for tasks in sets for score in tasks.scores]
    if scores:
        ids = [f"{tasks.name}-{score.label}" for tasks, score in scores]
        metafunc.parametrize("lm_eval_score", scores, ids=ids, scope="session")
        return
    without = pytest.mark.skip(reason="no task of lm-eval is named (--lm-eval-tasks sciq,mmlu)")
    metafunc.parametrize("lm_eval_score", [pytest.param(None, marks=without)], ids=["no-tasks"])


def bundled_samples(case: Path, name: str, options: Options) -> SampleSet:
    """Read a file of ``data/`` beside the case's module, cut to ``--limit``."""
    try:
        return subset(read_samples(case.parent / "data" / name), options.limit, options.seed)
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None


def note_deselected(items: Sequence[pytest.Item]) -> None:
    """Remember the suites of which -k, -m or --lf took cases away."""
    for item in items:
        item.config.stash.setdefault(CUT, set()).add(suite_of(item))


def note_selection(session: pytest.Session) -> None:
    """Fix the number of comparisons, and which suites are run whole.

    The comparisons are counted before any p-value is known: gated cases times references. Every xdist worker collects
    the same items, so every process adjusts by the same number. What is sure to be skipped compares nothing.
    """
    config = session.config
    options = config.stash[OPTIONS]
    asked = [item for item in session.items if item.get_closest_marker("skip") is None]
    gated = sum("gate" in getattr(item, "fixturenames", ()) for item in asked)
    # Ratings are compared with the base model's answers also where the base itself is not named.
    references = len(options.compare) + (options.base_model is not None or options.ratings is not None)
    config.stash[PROCESS].comparisons = max(1, gated * references)
    by_name = {Path(argument.split("::")[0]).stem.removeprefix("test_") for argument in config.args if "::" in argument}
    cut = config.stash.get(CUT, set()) | by_name
    config.stash[PROCESS].files = {suite_of(item): item.nodeid.partition("::")[0] for item in session.items}
    for place, item in enumerate(session.items):
        item.stash[PLACE] = place
    config.stash[PROCESS].whole_suites = {suite_of(item) for item in session.items} - cut


def suite_of(item: pytest.Item) -> str:
    """Return the suite's name: the module's, without ``test_``."""
    return item.path.stem.removeprefix("test_")
