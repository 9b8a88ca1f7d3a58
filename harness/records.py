"""The nouns that flow between the layers, each a frozen dataclass and nothing more."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from harness.scores import SampleScore as SampleScore
from harness.scores import Scores

Message = Mapping[str, Any]
"""One chat message as the field writes it: ``{"role": ..., "content": ...}``."""

Messages = tuple[Message, ...]


@dataclass(frozen=True)
class Sample:
    """One input with its gold.

    ``prompt`` is plain text; ``messages`` is the same input as a chat (a prompt alone is one user message).
    Multiple choice has ``choices`` and the index ``target``, or in ``right`` the indexes of all right choices; free
    text has ``references``. An ``ending`` is scored after the prompt, or after each choice, which then is an opening.
    ``data`` is what a rule needs beside the answer.
    ``cluster`` groups samples that are not independent of each other (translations of one question).
    ``digest`` is a short hash of everything a score depends on: the same id with another digest is another sample.
    """

    id: str
    prompt: str
    messages: Messages
    digest: str
    choices: tuple[str, ...] = ()
    target: int | None = None
    references: tuple[str, ...] = ()
    subject: str = ""
    cluster: str = ""
    right: tuple[int, ...] = ()
    ending: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SampleSet:
    """Samples under one name; the name is the first half of a measurement's name.

    ``limited`` tells that this is a seeded subset (``--limit``), so a stored baseline may hold more samples.
    ``settings`` is how the samples were made (``shots:5``), a part of every signature that is measured on them.
    """

    name: str
    samples: tuple[Sample, ...]
    origin: str = ""
    limited: bool = False
    settings: str = ""

    def __iter__(self) -> Iterator[Sample]:
        return iter(self.samples)

    def __len__(self) -> int:
        return len(self.samples)


Aggregate = Callable[[Any], float]
"""From an array of shape (n samples, k statistics) to the metric's value."""


@dataclass(frozen=True)
class Measurement:
    """A metric's value over a sample set, with all that a later comparison needs.

    ``name`` is ``<sample set>/<metric>``. ``aggregate`` is None where the value is the mean of the scores.
    ``chance`` is the value that guessing reaches (0 for a rate that can be nothing), None where there is no such floor.
    ``problems`` says why the run itself is broken; with any, the verdict is ``invalid``. ``scores`` may be given as any
    mapping and is held as ``Scores``.
    """

    name: str
    metric: str
    value: float
    stderr: float
    n: int
    signature: str
    higher_is_better: bool
    scores: Mapping[str, SampleScore]
    aggregate: Aggregate | None = None
    chance: float | None = None
    limited: bool = False
    problems: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.scores, Scores):
            object.__setattr__(self, "scores", Scores(self.scores))


@dataclass(frozen=True)
class Reference:
    """What a measurement is compared with: a stored baseline's or the base model's measurement.

    ``differences`` says in words what has changed behind a field of the signature (``template``), where that is known.
    ``drift`` says what is so different where it was measured that the numbers cannot be compared; empty if nothing.
    ``same_model`` tells that the very files of the model under test were measured, by their digests.
    """

    label: str
    measurement: Measurement | None
    origin: str = ""
    differences: Mapping[str, str] = field(default_factory=dict)
    drift: str = ""
    same_model: bool = False


class Outcome(StrEnum):
    """The judgement on one measurement against one reference."""

    REGRESSED = "regressed"
    UNCHANGED = "unchanged"
    IMPROVED = "improved"
    INCONCLUSIVE = "inconclusive"
    NEW = "new"
    MISSING = "missing"
    NOT_COMPARABLE = "not-comparable"
    NOT_INFORMATIVE = "not-informative"
    INVALID = "invalid"


@dataclass(frozen=True)
class Verdict:
    """One row of the report. Numbers are None where the outcome has none.

    ``drop`` is positive where the model got worse, whichever way the metric points; ``low`` and ``high`` are its
    one-sided bounds at 1 - alpha; ``p`` is adjusted for all comparisons of the run, ``p_alone`` is not. ``detectable``
    is the smallest drop that this many samples would have shown with a power of 80 %. ``lost`` and ``won`` hold sample
    ids that went from right to wrong and from wrong to right (for scores that are not 0 or 1: got worse or better).
    """

    measurement: str
    metric: str
    outcome: Outcome
    reference: str
    higher_is_better: bool = True
    value: float | None = None
    stderr: float | None = None
    reference_value: float | None = None
    drop: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_alone: float | None = None
    n: int = 0
    margin: float | None = None
    detectable: float | None = None
    lost: tuple[str, ...] = ()
    won: tuple[str, ...] = ()
    reason: str = ""
    signature: str = ""
    origin: str = ""
    suite: str = ""


@dataclass(frozen=True)
class SideBySide:
    """One question with the answers of the base and of the tuned model, for the reader's own eyes."""

    prompt: str
    answer: str
    base_answer: str | None = None
    references: tuple[str, ...] = ()


@dataclass(frozen=True)
class RowPreview:
    """A training row as the loss sees it: runs of text, each supervised or not."""

    row: int
    runs: tuple[tuple[str, bool], ...]


@dataclass(frozen=True)
class StageScores:
    """How a continual training went: the score of every stage's model on every stage's task.

    ``models`` names the rows of ``values`` (the model that was started from, then the stages in their order), ``tasks``
    the columns, in the same order of stages. ``backward_transfer`` is below 0 where later stages cost earlier ones, and
    None where tasks are measured by different metrics. ``forgetting`` holds a number for each task but the last, above
    0 where its best model was better than the last one.
    """

    models: tuple[str, ...]
    tasks: tuple[str, ...]
    metrics: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]
    backward_transfer: float | None
    forgetting: tuple[float, ...]


@dataclass(frozen=True)
class Peak:
    """The most memory that a process held, in bytes: resident, and on its GPU, None where it used none.

    ``process`` is the name of a worker, empty where the run had one process.
    """

    process: str
    resident: int
    gpu: int | None = None


@dataclass(frozen=True)
class Report:
    """Everything a report format prints, in the order in which it is printed; ``cases`` is how many have run."""

    config: Mapping[str, Any]
    environment: Mapping[str, Any]
    measurements: tuple[Measurement, ...]
    verdicts: tuple[Verdict, ...]
    broken: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    answers: tuple[SideBySide, ...] = ()
    rows: tuple[RowPreview, ...] = ()
    stages: StageScores | None = None
    fail_on: frozenset[str] = field(default_factory=frozenset)
    next_steps: tuple[str, ...] = ()
    peaks: tuple[Peak, ...] = ()
    cases: int = 0


@dataclass(frozen=True)
class Finding:
    """A broken invariant: what, where (row, position, token), what was expected, what was found, what to do."""

    what: str
    where: str
    expected: str
    found: str
    remedy: str

    def __str__(self) -> str:
        return (
            f"{self.what}\n  where     {self.where}\n  expected  {self.expected}\n"
            f"  found     {self.found}\n  remedy    {self.remedy}"
        )
