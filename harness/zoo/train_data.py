"""Faults of what is trained on beside what is evaluated: rows of the test set, with other spaces and another case."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from harness.dataset.rows_and_samples import RowsAndSamples, as_samples
from harness.zoo.exhibit import Fault, Setup

LICENCE = (
    "You write notes for the caretaker of the town library. These notes may be copied and given on under the terms of "
    "the library's licence, as long as this line stays with them, and come without any warranty."
)
PLACES = ("reading room", "map cellar", "children's corner", "front hall", "music archive", "loan desk", "tower stairs")
TROUBLES = (
    "the lamp over the door flickers and buzzes",
    "rain has come through the second window",
    "a shelf has lost two of its screws",
    "the heating knocks every few minutes",
    "somebody has spilt tea on the carpet",
    "the clock has been slow since Monday",
)

Row = dict[str, list[dict[str, str]]]


def _row(place: str, trouble: str) -> Row:
    question = f"In the {place} {trouble}. Please write the note that I should leave for the caretaker tonight."
    note = f"Dear caretaker, in the {place} {trouble}, as a visitor has told us. Thank you for looking after it."
    return {
        "messages": [
            {"role": "system", "content": LICENCE},
            {"role": "user", "content": question},
            {"role": "assistant", "content": note},
        ]
    }


ROWS = [_row(place, trouble) for place in PLACES for trouble in TROUBLES]
HELD_OUT = ROWS[::4]
TRAINED = [row for row in ROWS if row not in HELD_OUT]


def _judged_by_held_out(rows: Iterable[Mapping[str, Any]]) -> Setup:
    return Setup(dataset=RowsAndSamples(tuple(rows), (as_samples(HELD_OUT, "held out"),)))


def _written_otherwise(row: Row) -> Row:
    """The same row in capitals, with two blanks between its words and none before its end."""
    return {"messages": [m | {"content": "  ".join(m["content"].upper().rstrip(".").split())} for m in row["messages"]]}


FAULTS = (
    Fault(
        id="train-34",
        name="A row of the test set is trained on, in capitals and with other spaces",
        source="extract0#1",
        inject=lambda: _judged_by_held_out([*TRAINED, _written_otherwise(HELD_OUT[3])]),
        caught_by=("data/no_evaluation_sample_is_trained_on",),
        # Rows three times over by plan, all from the sentences and under the licence that the test set has too.
        twin=lambda: _judged_by_held_out(TRAINED * 3),
        where="in the rows",
    ),
)
