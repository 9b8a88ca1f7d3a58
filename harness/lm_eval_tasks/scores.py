"""Which numbers a task of lm-eval gives, as its configuration declares them, and which of them can be gated."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from harness.errors import DataError, UsageError
from harness.lm_eval_tasks.aggregations import RULES
from harness.lm_eval_tasks.finding import Function

UNFILTERED = "none"

DEFAULTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "loglikelihood": ("perplexity", "acc"),
        "loglikelihood_rolling": ("word_perplexity", "byte_perplexity", "bits_per_byte"),
        "multiple_choice": ("acc", "acc_norm"),
        "generate_until": ("exact_match",),
    }
)
"""What a task of each output type measures where it does not say."""

CHOSEN = ("acc", "acc_norm", "acc_bytes", "acc_mutual_info", "exact_match", "likelihood", "f1", "mcc", "brier_score")
WRITTEN = ("exact_match", "bleu", "chrf", "chrf++", "ter")
GIVEN: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {**DEFAULTS, "multiple_choice": CHOSEN, "generate_until": WRITTEN}
)
"""What lm-eval's own scoring can give for each output type; a task that scores for itself gives what it declares."""

AGGREGATIONS: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("acc", "acc_norm", "acc_bytes", "acc_mutual_info", "exact_match", "likelihood"), "mean"),
        "perplexity": "perplexity",
        "word_perplexity": "weighted_perplexity",
        "byte_perplexity": "weighted_perplexity",
        **{each: each for each in ("bits_per_byte", "bleu", "chrf", "chrf++", "ter", "f1", "brier_score")},
        "mcc": "matthews_corrcoef",
        "bypass": "bypass",
        "acc_all": "mean",
    }
)
"""lm-eval's metrics and how each is aggregated where the task does not say."""

FUNCTIONS = frozenset({"agg_inst_level_acc"})
"""Functions of tasks for which there is a rule; that it is the same one shows in the value."""

LOWER = frozenset({"perplexity", "word_perplexity", "byte_perplexity", "bits_per_byte", "ter", "brier_score"})
"""Those of them that are better where they are lower."""


@dataclass(frozen=True)
class Score:
    """One number that lm-eval gives of a task: a metric of the answers as a filter leaves them."""

    metric: str
    filter: str
    aggregation: str
    higher_is_better: bool

    @property
    def label(self) -> str:
        """``acc``; or as lm-eval prints it, ``exact_match,strict-match``."""
        return self.metric if self.filter == UNFILTERED else f"{self.metric},{self.filter}"

    @property
    def key(self) -> str:
        """The name in lm-eval's results."""
        return f"{self.metric},{self.filter}"


def scores_of(config: Mapping[str, Any]) -> tuple[tuple[Score, ...], tuple[str, ...]]:
    """What can be gated of a task, and in words what cannot and why."""
    output = str(config.get("output_type", "generate_until"))
    declared = entries_of(config.get("metric_list") or [{"metric": name} for name in DEFAULTS.get(output, ())])
    kept: list[Score] = []
    left: list[str] = []
    for entry in declared:
        name, aggregation = _names(entry)
        if "\n" in name:
            continue  # a function, logged as its source: the results of a run name what it gives
        reason = _why_not(name, aggregation, config, output)
        if reason:
            left.append(f"{name} ({reason})")
            continue
        better = entry.get("higher_is_better", name not in LOWER)
        kept += [Score(name, each, aggregation, bool(better)) for each in _filters(config)]
    return tuple(kept), tuple(left)


NEEDED = {"metric_list": "metric", "filter_list": "name", "aggregate_metric_list": "metric"}


def check_config(config: Mapping[str, Any], where: str) -> None:
    """Raise DataError, opened by ``where``, for metrics or filters that are not written as lm-eval has them."""
    for key, needed in NEEDED.items():
        entries = config.get(key)
        if entries is None:
            continue
        if not all(isinstance(each, Mapping) and isinstance(each.get(needed), str) for each in entries_of(entries)):
            raise DataError(
                f"{where}: {key} is no list of entries that each have a {needed}; write it as lm-eval does."
            )
        for each in entries_of(entries):
            if not isinstance(each.get("aggregation"), str | None):
                raise DataError(f"{where}: the aggregation of {each[needed]} is no name; write it as lm-eval does.")


def entries_of(value: Any) -> list[Any]:
    """A list as it is; one entry, as lm-eval also lets a group write it, as a list of one."""
    return value if isinstance(value, list) else [value]


def refuse_code(name: str, config: Mapping[str, Any]) -> None:
    """Raise UsageError for a task that would run what a model writes, or code from the hub, or that reads no text."""
    if config.get("unsafe_code"):
        raise UsageError(
            f"--lm-eval-tasks: {name} runs the code that a model writes, and no such code is run here; run it with "
            "lm-eval itself, in a sandbox, and import what it logs."
        )
    if config.get("doc_to_image") or config.get("doc_to_audio"):
        raise UsageError(f"--lm-eval-tasks: {name} asks about pictures or sounds, and this package tests text alone.")
    if "class" in config:
        raise UsageError(
            f"--lm-eval-tasks: {name} is a Python class, so its YAML does not say what it measures; run it with "
            "lm-eval itself and import what it logs."
        )
    # Only for answers that are generated is a metric's function called; where a task scores for itself, none is.
    scored = config.get("output_type", "generate_until") == "generate_until" and not config.get("process_results")
    for entry in entries_of(config.get("metric_list") or []) if scored else ():
        metric = entry["metric"]
        if entry.get("hf_evaluate") or not (isinstance(metric, Function) or metric in AGGREGATIONS):
            raise UsageError(
                f"--lm-eval-tasks: {name} takes its metric {metric} from the hub as code, which is not run here; give "
                "it a metric of lm-eval in a YAML of your own that includes this one."
            )


def _names(entry: Mapping[str, Any]) -> tuple[str, str]:
    metric = entry["metric"]
    name = metric.called if isinstance(metric, Function) else str(metric)
    return name, _aggregation(entry.get("aggregation") or AGGREGATIONS.get(name, "mean"))


def _aggregation(stated: str) -> str:
    """The name of a rule; of a function, which a YAML names and a log quotes, only where its name is that of a rule."""
    quoted = re.match(r"\s*def (\w+)\(", stated)
    function = stated.called if isinstance(stated, Function) else quoted and quoted[1]
    return stated if function is None else function if function in FUNCTIONS else "a function of the task"


def _why_not(name: str, aggregation: str, config: Mapping[str, Any], output: str) -> str:
    if not config.get("process_results") and output != "generate_until" and name not in GIVEN.get(output, ()):
        return f"lm-eval does not give it for {output}"
    if aggregation not in RULES:
        return f"aggregated by {aggregation}, for which there is no paired test here"
    return ""


def _filters(config: Mapping[str, Any]) -> Iterator[str]:
    yield from (str(each["name"]) for each in entries_of(config.get("filter_list") or {"name": UNFILTERED}))
