"""How well the language itself is known: BLiMP's minimal pairs, LAMBADA's last words."""

from __future__ import annotations

from harness.benchmarks.cells import text
from harness.benchmarks.record import Benchmark, Form, Question, Row
from harness.benchmarks.subjects import SUBJECTS
from harness.errors import DataError


def _minimal_pair(row: Row) -> Question:
    return Question("", (text(row, "sentence_good"), text(row, "sentence_bad")), 0)


def _last_word(row: Row) -> Question:
    """What the text says before its last space, and the word behind it."""
    before, space, word = text(row, "text").rpartition(" ")
    if not space or not word:
        raise DataError("text has no last word behind a space.")
    return Question(before, ending=word)


def _continuation(row: Row) -> Question:
    return Question(text(row, "context").rstrip(" "), ending=text(row, "continuation").strip(" "))


LANGUAGE = (
    Benchmark(
        name="blimp",
        path="nyu-mll/blimp",
        split="train",
        forms=(Form(("sentence_good", "sentence_bad"), _minimal_pair),),
        metrics=("acc",),
        licence="CC BY 4.0",
        version="1.0",
        subjects=SUBJECTS["blimp"],
        subject_field="UID",
    ),
    Benchmark(
        name="lambada_openai",
        path="EleutherAI/lambada_openai",
        config="default",
        split="test",
        forms=(Form(("text",), _last_word), Form(("context", "continuation"), _continuation)),
        metrics=("acc", "perplexity"),
        licence="MIT",
        version="1.0",
        scoring="continuation",
        # lm-eval draws shots from the evaluated rows and leaves the item among them; here it is left out.
        shots_split="test",
        draw="random others",
        folders=("lambada",),
    ),
)
