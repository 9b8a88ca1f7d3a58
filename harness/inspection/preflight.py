"""Everything that can be said of a trainer before it trains, in one call from a user's own script."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from harness.errors import PreflightError
from harness.findings import spelled_out
from harness.records import Finding

if TYPE_CHECKING:
    from transformers import Trainer

    from harness.inspection.checkpoint import Checkpoint
    from harness.inspection.matching import Inspection

SHOWN = 3
"""Kinds of finding of one case that a message spells out."""


@dataclass(frozen=True)
class CaseResult:
    """One case of the suites on this trainer: its name, what it found, and how many seconds it took."""

    name: str
    findings: tuple[Finding, ...]
    seconds: float


@dataclass(frozen=True)
class PreflightReport:
    """What ``preflight`` looked at and found. ``notes`` holds what is legitimate but worth knowing."""

    cases: tuple[CaseResult, ...]
    notes: tuple[str, ...]
    documents: int

    @property
    def failed(self) -> tuple[CaseResult, ...]:
        """The cases that found something."""
        return tuple(case for case in self.cases if case.findings)

    def __str__(self) -> str:
        """A line a case, the notes, and the findings spelled out."""
        width = max(len(case.name) for case in self.cases)
        lines = [f"{case.name:<{width}}  {_outcome(case)}" for case in self.cases]
        lines += [f"note: {note}" for note in self.notes]
        return "\n".join([*lines, *_spelled_out(self.failed)])


def preflight(
    trainer: Trainer,
    rows: Sequence[Mapping[str, Any]] | None = None,
    *,
    supervised: str | None = None,
    serving: Mapping[str, Any] | None = None,
) -> PreflightReport:
    """Inspect what a trl ``SFTTrainer`` or a transformers ``Trainer`` would train on; nothing is trained or changed.

    ``rows`` are the source rows (messages, prompt and completion, or text) where trl does not keep them beside the
    prepared ones. ``supervised`` declares what is meant to be learned where the trainer's arguments do not say it:
    "every turn", "last turn", "completion", "every turn of the completion" or "whole row". ``serving`` holds the
    template's variables at inference, such as ``{"enable_thinking": False}``.

    Random state, data order, weights and files are the same afterwards. The model runs on a few batches, without
    gradients.

    Raises:
        PreflightError: some case found something; the message names row, position, token and remedy of the first ones.
        UsageError: the trainer cannot be inspected; one sentence says why.

    """
    from harness.inspection import checks
    from harness.inspection.matching import inspect_batches

    began = time.perf_counter()
    seen = inspect_batches(trainer, rows, supervised=supervised, serving=serving)
    reading = time.perf_counter() - began
    applied = checks.of_a_trainer(trainer, seen, trained_checkpoint(trainer, seen))
    cases = tuple(_timed(name, check) for name, check in applied.items())
    report = PreflightReport(cases, _notes(seen, reading), len(seen.matches))
    if report.failed:
        raise PreflightError("\n".join(_spelled_out(report.failed)), report)
    return report


def trained_checkpoint(trainer: Trainer, seen: Inspection) -> Checkpoint:
    """What will be saved beside the weights: the tokenizer, and the settings as ``train`` aligns them with it."""
    from transformers.trainer_utils import align_special_tokens

    from harness.chat.probe import probe
    from harness.inspection.checkpoint import Checkpoint
    from harness.models.stated_ids import stop_ids_of

    model: Any = trainer.model
    aligned = SimpleNamespace(
        config=copy.deepcopy(model.config), generation_config=copy.deepcopy(getattr(model, "generation_config", None))
    )
    align_special_tokens(aligned, seen.serving)
    home = Path(str(getattr(seen.serving, "name_or_path", "") or ""))
    return Checkpoint(
        tokenizer=seen.serving,
        habits=seen.habits if seen.serving.chat_template == seen.tokenizer.chat_template else probe(seen.serving),
        config=aligned.config,
        generation_config=aligned.generation_config,
        stop_ids=stop_ids_of(aligned.generation_config, seen.serving),
        vocab_rows=int(model.get_input_embeddings().weight.shape[0]),
        folder=home if (home / "tokenizer_config.json").is_file() else None,
    )


def _timed(name: str, check: Callable[[], list[Finding]]) -> CaseResult:
    began = time.perf_counter()
    findings = tuple(check())
    return CaseResult(name, findings, time.perf_counter() - began)


def _notes(seen: Inspection, reading: float) -> tuple[str, ...]:
    from harness.inspection.remarks import notes

    size = f"{len(seen.matches)} documents in {len(seen.batches)} batches, read in {reading:.1f} s"
    return (size, *seen.habits.notes, *notes(seen))


def _outcome(case: CaseResult) -> str:
    return f"{len(case.findings)} found" if case.findings else "ok"


def _spelled_out(failed: Sequence[CaseResult]) -> Iterator[str]:
    for case in failed:
        yield f"\n{case.name}"
        yield from spelled_out(case.findings, SHOWN)
