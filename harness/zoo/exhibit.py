"""What stands in the zoo: a set-up as a user might have it, and the faults and traps that are made of such set-ups."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.calibration.gate import Gate
from harness.dataset.rows_and_samples import RowsAndSamples
from harness.handover.delivery import Delivery
from harness.inspection.checkpoint import Checkpoint
from harness.loop.looked_at import Loop
from harness.models.base import Model
from harness.records import Finding, SampleSet


@dataclass(frozen=True)
class Setup:
    """One set-up; what is None is not there, and the checks that would look at it do not run.

    ``tokenizer`` gets the checks of the chat template, ``checkpoint`` those of a saved model's files, ``trainer`` all
    that ``preflight`` makes, beside its source ``rows``. ``options`` are what the user declares to
    ``preflight`` (``serving`` and so on). ``model`` answers ``samples`` after training. ``loop`` is a trainer whose
    training is looked at, ``delivery`` what is handed over, ``dataset`` rows as text, ``gate`` what judges. ``more``
    holds findings of what the tables cannot be asked: a sentence of the harness itself, a verdict, by the case's name.
    """

    tokenizer: Any = None
    checkpoint: Checkpoint | None = None
    trainer: Any = None
    rows: Sequence[Mapping[str, Any]] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    model: Model | None = None
    samples: SampleSet | None = None
    loop: Loop | None = None
    delivery: Delivery | None = None
    dataset: RowsAndSamples | None = None
    gate: Gate | None = None
    more: Mapping[str, Callable[[], list[Finding]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Fault:
    """An injected bug. ``id`` names it for good; ``source`` is a public report of it.

    ``caught_by`` names the cases of which at least one must go red on ``inject()``; ``twin()`` builds the legitimate
    set-up that looks like it, on which none may. ``where`` says at which primitive it is injected when the libraries
    of today refuse it by themselves.
    """

    id: str
    name: str
    source: str
    inject: Callable[[], Setup]
    caught_by: tuple[str, ...]
    twin: Callable[[], Setup] | None = None
    where: str = ""


@dataclass(frozen=True)
class Trap:
    """A legitimate set-up that a naive check would flag: no case may go red on ``build()``."""

    id: str
    name: str
    build: Callable[[], Setup]
