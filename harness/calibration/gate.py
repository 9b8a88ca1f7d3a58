"""A gate as a whole: what judges, what a release is compared with, and which machines may be compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from harness.gate import drift, judge
from harness.records import Measurement, Reference, Verdict


class Judge(Protocol):
    """One measurement against one reference."""

    def __call__(
        self, measurement: Measurement, reference: Reference, *, margin: float, alpha: float, comparisons: int
    ) -> Verdict:
        """The verdict; see ``harness.gate.judge``."""
        ...


def last_and_first(releases: Sequence[Measurement]) -> tuple[Measurement, ...]:
    """The previous release and the frozen anchor: what ``--baseline previous --baseline anchor`` names."""
    return (releases[-1], releases[0]) if len(releases) > 1 else (releases[0],)


@dataclass(frozen=True)
class Gate:
    """This package's gate, unless something else is put in its place."""

    judge: Judge = judge
    references: Callable[[Sequence[Measurement]], tuple[Measurement, ...]] = last_and_first
    drift: Callable[[Mapping[str, Any], Mapping[str, Any]], str] = drift
