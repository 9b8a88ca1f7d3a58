"""School science: ARC and OpenBookQA, whose own files keep question and choices together."""

from __future__ import annotations

from harness.benchmarks.cells import (
    IN_CONTEXT,
    OPTIONS,
    asked_in_context,
    labelled,
    options,
    place_of,
    question_and_answer,
    text,
)
from harness.benchmarks.record import Benchmark, Form, Question, Row
from harness.errors import DataError


def _arc(row: Row) -> Question:
    choices, labels = labelled(row, "choices")
    return Question(question_and_answer(text(row, "question")), choices, place_of(row, "answerKey", labels))


def _arc_of_stem(row: Row) -> Question:
    question, choices, target = _stem(row)
    return Question(question_and_answer(question), choices, target)


def _stem(row: Row) -> tuple[str, tuple[str, ...], int]:
    """AI2's own files keep question and choices together."""
    inner = row["question"]
    if not isinstance(inner, dict) or not {"stem", "choices"} <= set(inner):
        raise DataError("question is expected to hold stem and choices.")
    choices, labels = labelled(inner, "choices")
    return text(inner, "stem"), choices, place_of(row, "answerKey", labels)


def _open_book(row: Row) -> Question:
    choices, labels = labelled(row, "choices")
    return Question(text(row, "question_stem"), choices, place_of(row, "answerKey", labels))


def _open_book_of_stem(row: Row) -> Question:
    return Question(*_stem(row))


def _open_book_of_options(row: Row) -> Question:
    return Question(text(row, "question").strip(), *options(row))


ARC_FORMS = (
    Form(("question", "choices", "answerKey"), _arc),
    Form(("question", "answerKey"), _arc_of_stem),
    Form(("query", "choices", "gold"), asked_in_context),
)

SCIENCE = (
    Benchmark(
        name="arc_easy",
        path="allenai/ai2_arc",
        config="ARC-Easy",
        split="test",
        forms=ARC_FORMS,
        metrics=("acc", "acc_norm"),
        licence="CC BY-SA 4.0",
        version="1.0",
        shots_split="train",
        identity="id",
    ),
    Benchmark(
        name="arc_challenge",
        path="allenai/ai2_arc",
        config="ARC-Challenge",
        split="test",
        forms=ARC_FORMS,
        metrics=("acc", "acc_norm"),
        licence="CC BY-SA 4.0",
        version="1.0",
        shots_split="train",
        identity="id",
    ),
    Benchmark(
        name="openbookqa",
        path="allenai/openbookqa",
        config="main",
        split="test",
        forms=(
            Form(("question_stem", "choices", "answerKey"), _open_book),
            Form(("question", "answerKey"), _open_book_of_stem),
            Form(OPTIONS, _open_book_of_options),
            IN_CONTEXT,
        ),
        metrics=("acc", "acc_norm"),
        licence="unstated",
        version="1.0",
        shots_split="train",
        identity="id",
    ),
)
