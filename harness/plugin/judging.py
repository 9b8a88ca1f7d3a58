"""The ``gate`` fixture's work: judge one measurement against every reference, record it, and fail if it must."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from harness import baselines
from harness.chat.record import CHAT, TEMPLATE, what_changed
from harness.errors import InvalidRunError, UsageError
from harness.gate import drift, explain, judge, margin_for, stated_margin
from harness.plugin.collecting import suite_of
from harness.plugin.state import CASE, OPTIONS, PROCESS
from harness.records import Measurement, Outcome, Reference, Verdict

BASE = "base model"
"""What a measurement is compared with unless its case names something else."""


def decide(
    item: pytest.Item, measurement: Measurement, against: Measurement | None, margin: float | None, called: str
) -> None:
    """Record the verdicts on a measurement; fail the case on a bad one, stop it where the run itself is broken.

    ``called`` is what the report calls the one that it is compared with, besides stored baselines.
    """
    options = item.config.stash[OPTIONS]
    records = item.stash[CASE]
    if records.measurements:
        raise UsageError(
            f"{item.nodeid} gates a second measurement, {measurement.name}; p-values are adjusted for one a case, so "
            "split the case or parametrise it."
        )
    allowed = stated_margin(options.margins, measurement.name, suite_of(item))
    if allowed is None:
        allowed = margin_for(measurement.metric, measurement.value) if margin is None else margin
    comparisons = item.config.stash[PROCESS].comparisons
    verdicts = [
        replace(
            judge(measurement, reference, margin=allowed, alpha=options.alpha, comparisons=comparisons),
            suite=suite_of(item),
        )
        for reference in _references(item.config, measurement, against, called)
    ]
    records.measurements[measurement.name] = measurement
    records.suites[measurement.name] = suite_of(item)
    if against is not None:
        records.against[measurement.name] = against
    records.verdicts += verdicts
    invalid = [verdict for verdict in verdicts if verdict.outcome is Outcome.INVALID]
    if invalid:
        raise InvalidRunError(f"{measurement.name} has no usable value: {invalid[0].reason}")
    failing = [verdict for verdict in verdicts if verdict.outcome in options.fail_on]
    if failing:
        pytest.fail("\n".join(explain(verdict, accept_command(item, verdict)) for verdict in failing), pytrace=False)


def accept_command(item: pytest.Item, verdict: Verdict) -> str:
    """Return what to type to take the new value as the baseline (or, against the base model, to allow the drop)."""
    asked = [argument for argument in item.config.invocation_params.args if isinstance(argument, str)]
    if not verdict.reference.startswith("baseline "):
        allowed = f"{max(verdict.drop or 0.0, 0.0) * 2:.3g}"
        return shlex.join(["pytest", *asked, "--margin", f"{verdict.measurement}={allowed}"])
    return shlex.join(["pytest", *asked, "--baseline-update"])


def _references(
    config: pytest.Config, measurement: Measurement, against: Measurement | None, called: str
) -> list[Reference]:
    options, environment = config.stash[OPTIONS], config.stash[PROCESS].environment
    model = environment.get("model")
    references = [
        Reference(
            f"baseline {baseline.name}",
            baseline.measurements.get(measurement.name),
            baseline.origin,
            _differences(baseline.environment.get("model"), model),
            drift(baseline.environment, environment),
            same_model=baselines.same_model(baseline.environment, environment),
        )
        for baseline in options.compare
    ]
    if against is not None and called != BASE:
        references.append(Reference(called, against))
    elif against is not None and options.base_model is not None:
        known = _differences(environment.get("base model"), model)
        references.append(Reference(BASE, against, options.base_model.text, known))
    return references or [Reference("", None)]


def _differences(before: Any, now: Any) -> dict[str, str]:
    """Token by token, how another chat template shows; nothing where one of the two models has no record of its own."""
    if not all(isinstance(record, Mapping) and CHAT in record for record in (before, now)):
        return {}
    return {TEMPLATE: str(what_changed(before[CHAT], now[CHAT]))}
