"""The command line, read in this one place: everything inside gets plain values from ``Options``."""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness import baselines
from harness.errors import UsageError
from harness.gate import MARGINS, margin_for
from harness.once import default_cache
from harness.records import Outcome, SampleSet
from harness.references import Kind, ModelRef, Trust, adapter_base, parse_reference, trained_from
from harness.report import check_suffix
from harness.rows import read_rows
from harness.samples import read_samples
from harness.training.recipe import base_reference

DEFAULT_MODEL = "demo:tuned"
DEFAULT_FAIL_ON = "regressed,not-comparable,missing"


@dataclass(frozen=True)
class Options:
    """What the user asked for, parsed and checked; nothing has been loaded yet.

    ``model`` is None where ``recipe`` trains it. ``compare`` holds the stored baselines to judge by, ``update`` the
    name to record under, if any.
    """

    root: Path
    model: ModelRef | None
    base_model: ModelRef | None
    recipe: Path | None
    trainer: str | None
    train_data: Path | None
    samples: tuple[SampleSet, ...]
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

    def margin(self, metric: str) -> float:
        """Return the allowed drop of a metric: the user's, else the default."""
        return margin_for(metric, self.margins)


def add_options(parser: pytest.Parser) -> None:
    """Register the options; their names and meanings are a contract with users' CI."""
    group = parser.getgroup("sft", "fine-tuned language models (pytest-sft)")
    add = group.addoption
    add("--model", metavar="REF", help=f"the model under test: folder, adapter, .gguf, pypi:PACKAGE, org/name[@revision], demo:tuned (default {DEFAULT_MODEL})")  # fmt: skip  # noqa: E501
    add("--base-model", metavar="REF", help="what it was tuned from; default: the adapter's or the recipe's base")
    add("--recipe", metavar="FILE", type=Path, help="train as this YAML says (kept by content) and test the result")
    add("--trainer", metavar="MODULE:FUNCTION", type=_module_function, help="your function that returns a Trainer, whose batches are inspected")  # fmt: skip  # noqa: E501
    add("--train-data", metavar="FILE", type=Path, help="training rows (JSONL) to inspect without a recipe or trainer")
    add("--samples", metavar="FILE", type=Path, action="append", default=[], help="your own samples (JSONL), repeatable: with choices they join forgetting, with target or references quality")  # fmt: skip  # noqa: E501
    add("--apply-chat-template", action="store_true", help="score multiple choice through the chat template")
    add("--baseline", metavar="NAME", action="append", default=[], help="a stored baseline to compare with, repeatable")
    add("--baseline-dir", metavar="DIR", type=Path, help="where baselines are stored (default: baselines/ of the root)")
    add("--baseline-update", action="store_true", help="store what was measured as the named baseline (default main)")
    add("--baseline-update-new", action="store_true", help="the same, but only what that baseline does not hold yet")
    add("--margin", metavar="METRIC=VALUE", type=_margin, action="append", default=[], help="allowed drop of a metric, repeatable")  # fmt: skip  # noqa: E501
    add("--alpha", metavar="A", type=_alpha, default=0.05, help="significance level of the whole run, one-sided (0.05)")
    add("--fail-on", metavar="LIST", type=_outcomes, default=DEFAULT_FAIL_ON, help=f"verdicts that fail (default {DEFAULT_FAIL_ON})")  # fmt: skip  # noqa: E501
    add("--limit", metavar="N", type=_positive, help="measure a seeded subset of N samples of each set")
    add("--seed", metavar="S", type=int, default=0, help="seed of --limit's subset (0)")
    add("--batch-size", metavar="N", type=_batch_size, default="auto", help="rows a batch, or auto: a budget of tokens")
    add("--device", metavar="DEVICE", default="auto", help="auto, cpu, cuda, cuda:1")
    add("--dtype", choices=["auto", "float32", "float16", "bfloat16"], default="auto", help="auto: float32 on the CPU, as stored on a GPU")  # fmt: skip  # noqa: E501
    add("--report", metavar="PATH", type=Path, action="append", default=[], help="write a report, repeatable; the suffix chooses .json or .md")  # fmt: skip  # noqa: E501
    add("--offline", action="store_true", help="no network at all, and an error where one would be needed")
    add("--cache-dir", metavar="DIR", type=Path, help="where converted and trained models are kept")
    add("--no-cache", action="store_true", help="keep nothing between runs: convert and train anew in a temporary folder")  # fmt: skip  # noqa: E501
    add("--trust-remote-code", action="store_true", help="let a checkpoint run code of its own")
    add("--allow-pickle", action="store_true", help="load weights that are stored as pickle")


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
    model = _model(get("model"), recipe, trust)
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
    margins = dict(get("margin"))
    for metric in margins:
        margin_for(metric)
    return Options(
        root=config.rootpath,
        model=model,
        base_model=_base_model(get("base_model"), model, recipe, trust),
        recipe=recipe,
        trainer=get("trainer"),
        train_data=train_data,
        samples=_samples(get("samples")),
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


def _model(text: str | None, recipe: Path | None, trust: Trust) -> ModelRef | None:
    if text is None:
        return None if recipe else parse_reference(DEFAULT_MODEL, trust)
    if recipe:
        raise UsageError("--model and --recipe both name the model under test; give one of them.")
    return parse_reference(text, trust)


def _base_model(text: str | None, model: ModelRef | None, recipe: Path | None, trust: Trust) -> ModelRef | None:
    """Without --base-model: the adapter's base, what the training manifest names, or the demo's own base."""
    if text is not None:
        return parse_reference(text, trust)
    if recipe is not None:
        return parse_reference(base_reference(recipe), trust)
    if model is None or model.kind is Kind.DEMO:
        return parse_reference("demo:base", trust)
    if model.kind is Kind.ADAPTER:
        return _base_of_adapter(model, trust)
    base = trained_from(Path(model.location)) if model.kind is Kind.CHECKPOINT else None
    return parse_reference(base, trust) if base else None


def _base_of_adapter(model: ModelRef, trust: Trust) -> ModelRef:
    named = adapter_base(Path(model.location))
    try:
        return parse_reference(named, trust)
    except UsageError as error:
        raise UsageError(
            f"{model.text}: its adapter_config.json names the base {named!r}, which cannot be used ({error}); "
            "say where it is with --base-model."
        ) from None


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


def _module_function(text: str) -> str:
    module, colon, function = text.partition(":")
    if not colon or not module or not function.isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r}: write MODULE:FUNCTION, as in train:build_trainer")
    return text


def _margin(text: str) -> tuple[str, float]:
    metric, equals, value = text.partition("=")
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not equals or not 0 <= number < float("inf"):
        known = ", ".join(sorted(MARGINS))
        raise argparse.ArgumentTypeError(f"{text!r}: write METRIC=VALUE with a value of 0 or more; metrics: {known}")
    return metric, number


def _alpha(text: str) -> float:
    try:
        alpha = float(text)
    except ValueError:
        alpha = -1.0
    if not 0 < alpha < 0.5:
        raise argparse.ArgumentTypeError(f"{text!r}: a significance level lies between 0 and 0.5")
    return alpha


def _outcomes(text: str) -> frozenset[str]:
    chosen = frozenset(name.strip().replace(" ", "-") for name in text.split(",") if name.strip())
    unknown = chosen - {outcome.value for outcome in Outcome}
    if unknown:
        known = ", ".join(Outcome)
        raise argparse.ArgumentTypeError(f"{sorted(unknown)[0]!r} is no verdict; the verdicts are {known}")
    return chosen


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: a whole number of 1 or more is expected")
    return int(text)


def _batch_size(text: str) -> int | None:
    return None if text == "auto" else _positive(text)
