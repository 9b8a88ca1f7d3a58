"""The command line, read in this one place: everything inside gets plain values from ``Options``.

How the options are spelt is in ``arguments``; here is what they mean together, checked before anything is loaded.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness import baselines
from harness.benchmarks.catalogue import answered_within, chosen
from harness.benchmarks.record import Benchmark
from harness.benchmarks.sources import check_place
from harness.errors import UsageError
from harness.gate import margin_for
from harness.inspection.policy import declared_policy
from harness.lm_eval_tasks.sets import TaskSet, task_sets
from harness.once import default_cache
from harness.plugin.named_models import model_to_equal, model_tuned_from, model_under_test
from harness.ratings.reading import Rated, read_rated
from harness.records import SampleSet
from harness.references import ModelRef, Trust
from harness.report import check_suffix
from harness.rows import read_rows
from harness.samples import read_samples


@dataclass(frozen=True)
class Options:
    """What the user asked for, parsed and checked; nothing has been loaded yet.

    ``model`` is None where ``recipe`` trains it, and where there is only a trainer. ``compare`` holds the stored
    baselines to judge by, ``update`` the name to record under, if any. ``serving`` holds the template's variables at
    inference, None where the user declares none.
    """

    root: Path
    model: ModelRef | None
    base_model: ModelRef | None
    same_as: ModelRef | None
    recipe: Path | None
    trainer: str | None
    train_data: Path | None
    supervised: str | None
    serving: dict[str, object] | None
    samples: tuple[SampleSet, ...]
    benchmarks: tuple[Benchmark, ...]
    benchmark_places: tuple[str, ...]
    lm_eval: tuple[TaskSet, ...]
    ratings: Rated | None
    compare: tuple[baselines.Baseline, ...]
    baseline_dir: Path
    update: str | None
    update_only_new: bool
    margins: dict[str, float]
    alpha: float
    fail_on: frozenset[str]
    limit: int | None
    seed: int
    chat_choices: bool
    batch_size: int | None
    device: str
    dtype: str
    reports: tuple[Path, ...]
    offline: bool
    cache: Path
    trust: Trust

    @property
    def subject(self) -> str:
        """What a report calls the thing under test: the model, or the recipe or trainer that would make one."""
        return self.model.text if self.model else str(self.recipe or self.trainer)


def read_options(config: pytest.Config) -> Options:
    """Parse and check the command line; raises UsageError with one sentence for the first thing that is wrong."""
    get = config.getoption
    trust = Trust(remote_code=get("trust_remote_code"), pickle=get("allow_pickle"))
    recipe = _existing(get("recipe"), "--recipe")
    train_data = _existing(get("train_data"), "--train-data")
    sources = [name for name in ("recipe", "trainer", "train_data") if get(name)]
    if len(sources) > 1:
        both = " and ".join(f"--{name.replace('_', '-')}" for name in sources)
        raise UsageError(f"{both} each name training rows to inspect; give one of them.")
    if train_data is not None:
        read_rows(train_data)
    model = model_under_test(get("model"), recipe, get("trainer"), trust)
    baseline_dir = get("baseline_dir") or config.rootpath / "baselines"
    update = _update_name(get("baseline"), get("baseline_update") or get("baseline_update_new"))
    only_new = get("baseline_update_new")
    if only_new and get("baseline_update"):
        raise UsageError("--baseline-update overwrites and --baseline-update-new does not; give one of them.")
    if update is not None:
        _check_update(baseline_dir, update, get("limit"))
    # A baseline that is about to be overwritten is no judge; one that only grows still is, once it exists.
    judges = [name for name in get("baseline") if name != update or (only_new and baselines.exists(baseline_dir, name))]
    for path in get("report"):
        check_suffix(path)
        if path.is_dir():
            raise UsageError(f"--report {path}: this is a folder; name a file in it.")
    samples = _samples(get("samples"))
    benchmarks = _benchmarks(get("benchmarks"), get("benchmark_dir"), get("max_new_tokens"))
    taken = {*(each.name for each in samples), *(each.name for each in benchmarks)}
    if len(taken) < len(samples) + len(benchmarks):
        raise UsageError(
            "--samples and --benchmarks name a set of the same name, and measurements are called so; rename one."
        )
    lm_eval = _lm_eval(get("lm_eval_tasks"), get("lm_eval_include"), taken)
    margins = dict(get("margin"))
    for metric in {name.rpartition("/")[2] for name in margins} - {s.label for tasks in lm_eval for s in tasks.scores}:
        margin_for(metric)
    return Options(
        root=config.rootpath,
        model=model,
        base_model=model_tuned_from(get("base_model"), model, recipe, trust),
        same_as=model_to_equal(get("same_as"), model, trust),
        recipe=recipe,
        trainer=get("trainer"),
        train_data=train_data,
        supervised=_supervised(get("supervised"), get("trainer")),
        serving=dict(get("serving")) or None,
        samples=samples,
        benchmarks=benchmarks,
        benchmark_places=tuple(get("benchmark_dir")),
        lm_eval=lm_eval,
        ratings=read_rated(get("ratings")) if get("ratings") else None,
        compare=tuple(baselines.load(baseline_dir, name) for name in judges),
        baseline_dir=baseline_dir,
        update=update,
        update_only_new=only_new,
        margins=margins,
        alpha=get("alpha"),
        fail_on=get("fail_on"),
        limit=get("limit"),
        seed=get("seed"),
        chat_choices=get("apply_chat_template"),
        batch_size=get("batch_size"),
        device=get("device"),
        dtype=get("dtype"),
        reports=tuple(get("report")),
        offline=get("offline"),
        cache=_cache(config),
        trust=trust,
    )


def _samples(paths: list[Path]) -> tuple[SampleSet, ...]:
    sets = tuple(read_samples(path) for path in paths)
    names = [samples.name for samples in sets]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"--samples: two files are called {name!r}, and measurements are named so; rename one.")
    for samples in sets:
        for sample in samples:
            if not sample.choices and not sample.references:
                raise UsageError(
                    f"{samples.origin}: sample {sample.id!r} has no target; give choices and target for multiple "
                    "choice, target or references for free text."
                )
    return sets


def _benchmarks(names: str | None, places: list[str], longest: int | None) -> tuple[Benchmark, ...]:
    if places and names is None:
        raise UsageError("--benchmark-dir says where benchmarks are found; name those to run with --benchmarks.")
    for place in places:
        check_place(place)
    found = () if names is None else chosen(names)
    return found if longest is None else answered_within(found, longest)


def _lm_eval(names: tuple[str, ...], include: Path | None, taken: set[str]) -> tuple[TaskSet, ...]:
    if include is not None and not names:
        raise UsageError("--lm-eval-include says where tasks are found; name those to run with --lm-eval-tasks.")
    sets = task_sets(names, include) if names else ()
    for tasks in sets:
        if tasks.name in taken:
            raise UsageError(
                f"--lm-eval-tasks: {tasks.name} is also named by --benchmarks or --samples, and its measurements are "
                "called so; give it once."
            )
    return sets


def _supervised(text: str | None, trainer: str | None) -> str | None:
    if text is not None and trainer is None:
        raise UsageError("--supervised says what --trainer is meant to learn; give it with --trainer.")
    return None if text is None else declared_policy(text)


def _update_name(named: list[str], updating: bool) -> str | None:
    if "" in named:
        raise UsageError("--baseline has an empty name (an unset variable?); name a baseline, such as main.")
    if not updating:
        return None
    if len(named) > 1:
        raise UsageError(f"--baseline-update records one baseline, {len(named)} are named; keep one --baseline.")
    return named[0] if named else "main"


def _check_update(directory: Path, name: str, limit: int | None) -> None:
    """See before anything is measured that the baseline can be stored, and that a subset does not replace the whole."""
    if directory.exists() and not directory.is_dir():
        raise UsageError(f"--baseline-dir {directory}: this is a file; name a folder.")
    if not baselines.exists(directory, name):
        return
    whole = [each for each in baselines.load(directory, name).measurements.values() if not each.limited]
    if limit is not None and whole:
        raise UsageError(
            f"--limit {limit} would replace whole measurements of baseline {name} (such as {whole[0].name}, "
            f"n {whole[0].n}) by a subset; leave --limit out, or record under another name."
        )


def _cache(config: pytest.Config) -> Path:
    if config.getoption("no_cache"):
        temporary = tempfile.TemporaryDirectory(prefix="pytest-sft-")
        config.add_cleanup(temporary.cleanup)
        return Path(temporary.name)
    chosen: Path | None = config.getoption("cache_dir")
    return (chosen or default_cache()).expanduser().resolve()


def _existing(path: Path | None, option: str) -> Path | None:
    if path is not None and not path.is_file():
        raise UsageError(f"{option} {path}: there is no such file; check the path.")
    return path
