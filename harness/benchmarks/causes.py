"""What follows from what: COPA, and XCOPA in eleven languages, where translations of one item share a cluster."""

from __future__ import annotations

from harness.benchmarks.cells import IN_CONTEXT, number, place_of, text
from harness.benchmarks.record import SUBJECT, Benchmark, Form, Question, Row

CONNECTORS = {
    "en": ("because", "therefore"),
    "et": ("sest", "seetõttu"),
    "ht": ("poukisa", "donk sa"),
    "id": ("karena", "maka"),
    "it": ("perché", "quindi"),
    "qu": ("imataq", "chaymi"),
    "sw": ("kwa sababu", "kwa hiyo"),
    "ta": ("காரணமாக", "எனவே"),
    "th": ("เพราะ", "ดังนั้น"),
    "tr": ("çünkü", "bu yüzden"),
    "vi": ("bởi vì", "vì vậy"),
    "zh": ("因为", "所以"),
}
"""Language -> what joins a premise to its cause and to its effect."""

FIELDS = ("premise", "choice1", "choice2", "question", "label")


def _premise(row: Row, language: str) -> str:
    """The premise without its full stop, and the connector."""
    connector = CONNECTORS[language][place_of(row, "question", ("cause", "effect"))]
    return f"{text(row, 'premise').strip()[:-1]} {connector}"


def _in_the_sentence(choice: str) -> str:
    return choice[:1].lower() + choice[1:]


def _copa(row: Row) -> Question:
    """lm-eval's choices open with a space of their own, beside the one that delimits them."""
    choices = tuple(f" {_in_the_sentence(text(row, field))}" for field in ("choice1", "choice2"))
    return Question(_premise(row, "en"), choices, number(row, "label"))


def _xcopa(row: Row) -> Question:
    choices = tuple(_in_the_sentence(text(row, field)) for field in ("choice1", "choice2"))
    return Question(
        _premise(row, text(row, SUBJECT)), choices, number(row, "label"), cluster=f"item {number(row, 'idx')}"
    )


CAUSES = (
    Benchmark(
        name="copa",
        path="aps/super_glue",
        config="copa",
        split="validation",
        forms=(Form(FIELDS, _copa), IN_CONTEXT),
        metrics=("acc",),
        licence="BSD-2-Clause",
        version="1.0",
        shots_split="train",
        draw="random others",
        identity="idx",
    ),
    Benchmark(
        name="xcopa",
        path="cambridgeltl/xcopa",
        split="test",
        forms=(Form((*FIELDS, "idx"), _xcopa),),
        metrics=("acc",),
        licence="CC BY 4.0",
        version="1.0",
        shots_split="validation",
        identity="idx",
        subjects={language: language for language in CONNECTORS if language != "en"},
    ),
)
