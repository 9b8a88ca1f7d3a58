"""From a teacher and prompts to a file of training rows that appears whole, each row with where it comes from."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from harness.chat.control import special_tokens
from harness.engine.sampling import Sampling
from harness.errors import InvalidRunError, UsageError
from harness.journal import opened_journal
from harness.models import Completion
from harness.models.local import LocalModel
from harness.once import unfinished_of
from harness.provenance import file_digest, versions
from harness.records import SampleSet
from harness.samples import subset
from harness.selection.choosing import Choice, choose
from harness.selection.prompts import read_prompts
from harness.selection.scoring import RULES, Against, Scoring, scored_against

COMPUTING = ("torch", "transformers", "pytest-sft")
"""The packages whose version can change an answer or its score."""


@dataclass(frozen=True)
class Wanted:
    """What is asked for: ``k`` answers to each prompt, scored by ``metric``; ``min_score`` in the metric's unit.

    ``against`` is None where the best that the prompts allow is to be taken; ``limit`` takes a seeded subset of them.
    Raises UsageError for values that contradict each other.
    """

    prompts: Path
    output: Path
    k: int = 4
    metric: str = "chrf"
    against: Against | None = None
    min_score: float | None = None
    limit: int | None = None
    sampling: Sampling = field(default_factory=Sampling)

    def __post_init__(self) -> None:
        if self.k < 1:
            raise UsageError(f"--k {self.k}: a prompt has one answer at least.")
        if self.metric not in RULES:
            raise UsageError(f"--metric {self.metric}: answers are scored by {', '.join(RULES)}.")
        if self.output.exists():
            raise UsageError(f"{self.output}: is there already, and is not overwritten; name another --output.")


@dataclass(frozen=True)
class Prepared:
    """What was asked for, read and found to fit together, before any teacher is loaded."""

    wanted: Wanted
    prompts: SampleSet
    against: Against


def prepare(wanted: Wanted) -> Prepared:
    """Read the prompts and see that they can be scored as asked; raises DataError or UsageError where not."""
    prompts = read_prompts(wanted.prompts)
    against = scored_against(prompts, wanted.against, wanted.k)
    if against is Against.NOTHING and wanted.min_score is not None:
        raise UsageError("--min-score needs a score: give the prompts references, or --k 2 or more.")
    return Prepared(wanted, subset(prompts, wanted.limit, wanted.sampling.seed), against)


def select(prepared: Prepared, teacher: LocalModel) -> list[Choice]:
    """Ask the teacher, choose, and write the rows; an interrupted run of the same goes on with the answers it has.

    Raises InvalidRunError where no answer can be kept; the answers stay beside the output, so that another metric or
    score can be tried without asking again.
    """
    wanted = prepared.wanted
    inputs = _inputs(prepared, teacher)
    scoring = Scoring(RULES[wanted.metric], prepared.against, special_tokens(teacher.tokenizer))
    with opened_journal(unfinished_of(wanted.output), inputs) as journal:
        asked = {sample.id: sample.messages for sample in prepared.prompts}
        answers = {name: [_completion(one) for one in many] for name, many in journal.answers.items()}
        for batch in teacher.sample(asked, wanted.sampling, wanted.k, answers):
            journal.add({name: [asdict(answer) for answer in many] for name, many in batch.items()})
            answers |= {name: list(many) for name, many in batch.items()}
        choices = [
            choose(sample, scoring.scored(sample, answers[sample.id]), wanted.min_score) for sample in prepared.prompts
        ]
        rows = [_row(choice, inputs, scoring.signature) for choice in choices if choice.kept]
        if not rows:
            raise InvalidRunError(
                f"none of the {len(choices)} prompts has an answer that can be kept: {_why_none(choices, wanted)}; "
                f"the answers are in {journal.file}."
            )
        _write(wanted.output, rows)
        journal.finished = True
    return choices


def _inputs(prepared: Prepared, teacher: LocalModel) -> dict[str, Any]:
    """Everything that decides what the answers are; the score is not among it."""
    wanted = prepared.wanted
    found = versions()
    return {
        "teacher": teacher.name,
        "digests": dict(teacher.digests),
        "prompts": wanted.prompts.name,
        "prompts_digest": file_digest(wanted.prompts),
        "limit": wanted.limit,
        "k": wanted.k,
        "sampling": asdict(wanted.sampling),
        "versions": {name: found[name] for name in COMPUTING},
    }


def _completion(fields: Mapping[str, Any]) -> Completion:
    return Completion(fields["text"], fields["raw"], tuple(fields["ids"]), fields["finish"])


def _row(choice: Choice, inputs: Mapping[str, Any], signature: str) -> dict[str, Any]:
    assert choice.kept is not None
    answer = {"role": "assistant", "content": choice.kept.text}
    own = {"prompt_id": choice.sample.id, "answer": choice.best, "score": choice.kept.score, "scored": signature}
    return {
        "messages": [*map(dict, choice.sample.messages), answer],
        "provenance": {**own, **{name: value for name, value in inputs.items() if value is not None}},
    }


def _why_none(choices: Sequence[Choice], wanted: Wanted) -> str:
    if any(choice.answerable for choice in choices):
        bar = f"reaches --min-score {wanted.min_score}" if wanted.min_score else f"has a {wanted.metric} above 0"
        return f"no answer {bar}"
    reasons = [str(answer.unusable) for choice in choices for answer in choice.answers]
    usual = max(sorted(set(reasons)), key=reasons.count)
    return f"{reasons.count(usual)} of {len(reasons)} answers are {usual}"


def _write(output: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    half = unfinished_of(output) / "rows.jsonl"
    try:
        with half.open("w", encoding="utf-8") as stream:
            stream.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(half, output)
    except OSError as error:
        raise UsageError(
            f"{output}: cannot be written ({error.strerror}); make room, and the same command writes it without "
            "asking the teacher again."
        ) from error
