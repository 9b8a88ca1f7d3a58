"""Runs of pytest in this process, of which nothing is wanted but what its cases gate."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from harness.calibration.whole_gate import Gated
from harness.errors import InvalidRunError, UsageError
from harness.plugin.state import CASE
from harness.records import Measurement, Outcome


@dataclass
class Recorder:
    """A pytest plugin that keeps the gated cases of a run, and what they compared.

    ``measured`` are the run's own measurements by name; ``margins`` what is allowed of each; ``gated`` are
    those that were compared with the base model, ``left_out`` says of the others why they were not.
    """

    measured: dict[str, Measurement] = field(default_factory=dict)
    gated: dict[str, Gated] = field(default_factory=dict)
    margins: dict[str, float] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Leave only the cases that measure."""
        others = [item for item in items if "gate" not in getattr(item, "fixturenames", ())]
        items[:] = [item for item in items if item not in others]
        config.hook.pytest_deselected(items=others)

    def pytest_runtest_teardown(self, item: pytest.Item) -> None:
        """Take what the case has measured."""
        records = item.stash[CASE]
        self.measured |= records.measurements
        for verdict in records.verdicts:
            name = verdict.measurement
            if verdict.margin is not None:
                self.margins[name] = verdict.margin
            if verdict.drop is not None and verdict.margin is not None and name in records.against:
                self.gated[name] = Gated(
                    verdict.suite, records.measurements[name], records.against[name], verdict.margin
                )
            elif verdict.outcome is not Outcome.NEW or name not in records.against:
                self.left_out[name] = verdict.reason


def recorded(arguments: Sequence[str]) -> Recorder:
    """Run pytest with these arguments, silently, and return what was gated.

    Raises UsageError where pytest refuses the arguments, InvalidRunError where a case broke: both with pytest's words.
    """
    recorder, said = Recorder(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        status = pytest.main([*arguments, "-q", "-p", "no:cacheprovider", "--tb=line"], plugins=[recorder])
    if status == pytest.ExitCode.USAGE_ERROR:
        raise UsageError(_last_words(said.getvalue()))
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED):
        raise InvalidRunError(f"pytest {' '.join(arguments)} ended with {status!s}: {_last_words(said.getvalue())}")
    return recorder


def _last_words(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("ERROR", "E "))]
    return (errors or lines or ["it said nothing"])[-1]
