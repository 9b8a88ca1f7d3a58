"""A baseline as a noun: what was measured, of which model, by which suites, and how two recordings become one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.records import Measurement

SUMMARY = "baseline.json"

SUITES = "suites"
"""The key of ``config`` under which each suite lists what it measures."""

MODEL_PARTS = ("weights", "adapter", "tokenizer", "template")


@dataclass(frozen=True)
class Baseline:
    """What was asked (``config``), where it ran (``environment``) and what was measured, by measurement name.

    ``environment["model"]`` maps the parts of the model under test (``MODEL_PARTS``) to their digests.
    """

    name: str
    path: Path
    config: Mapping[str, Any]
    environment: Mapping[str, Any]
    measurements: Mapping[str, Measurement]

    @property
    def suites(self) -> dict[str, str]:
        """The suite of each measurement, as far as the config tells it."""
        return {name: suite for suite, names in self.config.get(SUITES, {}).items() for name in names}

    @property
    def origin(self) -> str:
        """File, day and commit, as far as the environment tells them."""
        date, commit = self.environment.get("date"), self.environment.get("commit")
        facts = ", ".join(fact for fact in (f"{date or ''}", f"commit {commit}" if commit else "") if fact)
        file = _from_here(self.path / SUMMARY)
        return f"{file} ({facts})" if facts else str(file)


def _from_here(path: Path) -> Path:
    """The path as one would type it: relative where it is below the working folder."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def merge(old: Baseline, new: Baseline, *, only_new: bool) -> Baseline:
    """What to store when ``new`` was measured and ``old`` is there: all of ``new``, or only what ``old`` lacks.

    Raises UsageError where measurements of two different models would come to stand in one baseline.
    """
    kept = old.measurements if only_new else {k: v for k, v in old.measurements.items() if k not in new.measurements}
    added = {k: v for k, v in new.measurements.items() if k not in kept}
    if kept and added and not same_model(old.environment, new.environment):
        raise UsageError(
            f"baseline {old.name} holds {len(kept)} measurements of another model, such as {min(kept)}, which this run "
            f"would keep: record the whole baseline again, or choose another name with --baseline"
        )
    frame = old if only_new else new
    measurements = {**kept, **added}
    # What no suite is known to measure could never be missed.
    measured_by = {name: suite for name, suite in (old.suites | new.suites).items() if name in measurements}
    config = {**frame.config, **({SUITES: _by_suite(measured_by)} if measured_by else {})}
    return replace(frame, measurements=measurements, config=config)


def _by_suite(measured_by: Mapping[str, str]) -> dict[str, list[str]]:
    return {
        suite: sorted(name for name, its in measured_by.items() if its == suite)
        for suite in sorted(set(measured_by.values()))
    }


def same_model(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether two environments name the same model under test, by the digests of its parts."""
    digests = _model_digests(now)
    return bool(digests.get("weights")) and digests == _model_digests(before)


def _model_digests(environment: Mapping[str, Any]) -> dict[str, Any]:
    model = environment.get("model")
    return {part: model[part] for part in MODEL_PARTS if part in model} if isinstance(model, Mapping) else {}
