"""What the plugin keeps on ``config.stash``, and the plain form in which it travels between processes."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import pytest

from harness.plugin.options import Options
from harness.records import Measurement, Outcome, Peak, RowPreview, SampleScore, SideBySide, StageScores, Verdict
from harness.store import Store


@dataclass
class Records:
    """Everything that the cases of this session have said so far; grows while they run.

    ``comparisons`` is how many the whole run makes, by which every p-value is adjusted: each process knows it.
    ``files`` has the file of each suite of which a case was collected, as pytest names it.
    ``against`` holds what measurements were compared with besides stored baselines; it stays in its process.
    ``asked`` counts by process how many answers were computed, and how many were kept from earlier runs.
    """

    measurements: dict[str, Measurement] = field(default_factory=dict)
    suites: dict[str, str] = field(default_factory=dict)
    against: dict[str, Measurement] = field(default_factory=dict)
    verdicts: list[Verdict] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    answers: list[SideBySide] = field(default_factory=list)
    rows: list[RowPreview] = field(default_factory=list)
    stages: StageScores | None = None
    broken: list[tuple[str, str]] = field(default_factory=list)
    environment: dict[str, Any] = field(default_factory=dict)
    asked: dict[str, list[int]] = field(default_factory=dict)
    peaks: dict[str, Peak] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    whole_suites: set[str] = field(default_factory=set)
    usage_error: str = ""
    comparisons: int = 1
    cases: int = 0
    cut_short: bool = False

    def add(self, other: Records) -> None:
        """Take over what another process, or one case, has recorded."""
        self.measurements |= other.measurements
        self.suites |= other.suites
        # xdist's --dist each, and a plugin that runs a case again, let it say the same twice: that is one comparison.
        self.verdicts += [verdict for verdict in other.verdicts if verdict not in self.verdicts]
        self.notes += [note for note in other.notes if note not in self.notes]
        self.answers += other.answers
        self.rows += other.rows
        self.broken += other.broken
        self.stages = other.stages or self.stages
        for key, value in other.environment.items():
            known = self.environment.get(key)
            # One process has read a model's files, another has loaded its weights: each knows a part of it.
            self.environment[key] = known | value if isinstance(known, dict) and isinstance(value, dict) else value
        self.asked |= other.asked
        self.peaks |= other.peaks  # a process's last report has its highest
        self.files |= other.files
        self.whole_suites |= other.whole_suites
        self.comparisons = max(self.comparisons, other.comparisons)

    def pack(self) -> dict[str, Any]:
        """Return plain dicts, lists and numbers, as they travel in a report from an xdist worker."""
        measurements = {
            name: {key: value for key, value in vars(measurement).items() if key not in ("aggregate", "scores")}
            | {
                "scores": {
                    key: [score.values, score.digest, score.cluster] for key, score in measurement.scores.items()
                }
            }
            for name, measurement in self.measurements.items()
        }
        return {
            "measurements": measurements,
            "suites": self.suites,
            "verdicts": [asdict(verdict) | {"outcome": verdict.outcome.value} for verdict in self.verdicts],
            "notes": self.notes,
            "answers": [asdict(answer) for answer in self.answers],
            "rows": [asdict(row) for row in self.rows],
            "stages": None if self.stages is None else asdict(self.stages),
            "environment": self.environment,
            "peaks": [asdict(peak) for peak in self.peaks.values()],
            "asked": self.asked,
            "files": self.files,
            "whole_suites": sorted(self.whole_suites),
            "comparisons": self.comparisons,
        }

    @classmethod
    def unpack(cls, packed: dict[str, Any]) -> Records:
        """Undo ``pack``; an aggregate function does not travel, and nobody needs it after the verdict."""
        return cls(
            measurements={name: _measurement(value) for name, value in packed["measurements"].items()},
            suites=dict(packed["suites"]),
            verdicts=[_verdict(value) for value in packed["verdicts"]],
            notes=list(packed["notes"]),
            answers=[SideBySide(**_tuples(value)) for value in packed["answers"]],
            rows=[RowPreview(row["row"], tuple((text, kept) for text, kept in row["runs"])) for row in packed["rows"]],
            stages=_stages(packed["stages"]),
            environment=dict(packed["environment"]),
            peaks={peak["process"]: Peak(**peak) for peak in packed["peaks"]},
            asked=dict(packed["asked"]),
            files=dict(packed["files"]),
            whole_suites=set(packed["whole_suites"]),
            comparisons=packed["comparisons"],
        )


def _measurement(packed: dict[str, Any]) -> Measurement:
    scores = {
        key: SampleScore(tuple(values), digest, cluster) for key, (values, digest, cluster) in packed["scores"].items()
    }
    return Measurement(**_tuples(packed) | {"scores": scores})


def _verdict(packed: dict[str, Any]) -> Verdict:
    return Verdict(**_tuples(packed) | {"outcome": Outcome(packed["outcome"])})


def _stages(packed: dict[str, Any] | None) -> StageScores | None:
    if packed is None:
        return None
    return StageScores(**_tuples(packed) | {"values": tuple(tuple(row) for row in packed["values"])})


def _tuples(packed: dict[str, Any]) -> dict[str, Any]:
    """Lists come back from other processes where tuples were sent."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in packed.items()}


OPTIONS = pytest.StashKey[Options]()
CASE = pytest.StashKey[Records]()
"""On an item: what this case has said."""
PLACE = pytest.StashKey[int]()
"""On an item: its place in the order of the cases."""
PROCESS = pytest.StashKey[Records]()
"""What this process knows and every report may repeat: its models, and what had to be assumed to load them."""
ANSWERS = pytest.StashKey[Store]()
"""What models have answered, in this process and in earlier runs."""
SESSION = pytest.StashKey[Records]()
"""Everything said by all cases, in the process that prints."""
PAGES = pytest.StashKey[list[tuple[int, Records]]]()
"""What each report has brought, beside the place of its case, in the process that prints."""
TOLD = pytest.StashKey[set[str]]()
"""What this process has said of itself already: a note travels with the case in which it came up."""
