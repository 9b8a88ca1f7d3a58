"""Faults at the length limit: nothing left to learn, rows that vanish, answers that never end or end too soon."""

from __future__ import annotations

from typing import Any

from transformers import DataCollatorForSeq2Seq

from harness.chat.template import encode
from harness.zoo.exhibit import Fault, Setup
from harness.zoo.parts import CHATML, MARKED, labelled, plain_trainer, sft_trainer, tokenizer_with

EMPTY = "mask/no_row_is_lost_or_left_with_nothing_to_learn"


def _asked(question: str, answer: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


LONG_QUESTIONS = [
    _asked("What opens at noon? " * 8, "The gate."),
    _asked("Who crosses the garden before the rain? " * 6, "A fox."),
    _asked("What is it by the sea?", "A quiet town."),
]
COUNTED = ", ".join(map(str, range(280)))
LONG_ANSWERS = [
    _asked("Count.", COUNTED),
    _asked("Count once more.", COUNTED),
]
ONE_LONG_ANSWER = [
    _asked("What opens at noon?", "The gate opens at noon and closes at six before the rain begins by the sea."),
    *(_asked(f"What is the capital of country {n}?", "It is a quiet town.") for n in range(4)),
]


def _cut_by_hand(rows: list[dict[str, Any]], limit: int, ends: bool = False) -> Setup:
    """Rows that the user's own code masks and cuts at ``limit`` tokens; with ``ends`` the last one kept ends a turn."""
    tokenizer = tokenizer_with(CHATML)
    prepared = []
    for row in rows:
        ids = encode(tokenizer, row["messages"])
        start = len(encode(tokenizer, row["messages"][:-1], generation_prompt=True))
        kept = ids[:limit]
        if ends and len(ids) > limit:
            kept[-1] = tokenizer.convert_tokens_to_ids("<|im_end|>")
        prepared.append(labelled(kept, range(start, len(kept))))
    return Setup(trainer=plain_trainer(tokenizer, prepared, DataCollatorForSeq2Seq(tokenizer)), rows=rows)


def _limited(rows: list[dict[str, Any]], **options: Any) -> Setup:
    """What trl makes of the rows at a ``max_length``."""
    return Setup(trainer=sft_trainer(MARKED, rows, **options), rows=rows)


FAULTS = (
    Fault(
        id="mask-23",
        name="The prompt alone fills the row, so all its labels are masked and its loss is no number",
        source="huggingface/trl#6025",
        inject=lambda: _cut_by_hand(LONG_QUESTIONS, 80),
        caught_by=(EMPTY,),
        twin=lambda: _cut_by_hand(LONG_QUESTIONS, 320),
        where="in the row builder; trl drops such rows",
    ),
    Fault(
        id="mask-24",
        name="Rows whose answer lies beyond the length limit are dropped without a word",
        source="huggingface/trl#6155",
        inject=lambda: _limited(LONG_QUESTIONS, max_length=80),
        caught_by=(EMPTY,),
        twin=lambda: _limited(LONG_QUESTIONS, max_length=320),
    ),
    Fault(
        id="mask-25",
        name="A length limit that nobody chose cuts the answers off",
        source="huggingface/trl#2400",
        inject=lambda: _limited(LONG_ANSWERS, max_length=1024),
        caught_by=("mask/few_rows_are_cut",),
        twin=lambda: _limited(LONG_ANSWERS, max_length=4096),
    ),
    Fault(
        id="mask-27",
        name="A row that was cut is given an end, so the model learns to stop mid-sentence",
        source="huggingface/trl#4698",
        inject=lambda: _cut_by_hand(ONE_LONG_ANSWER, 32, ends=True),
        caught_by=("mask/rows_are_what_the_template_renders",),
        twin=lambda: _cut_by_hand(ONE_LONG_ANSWER, 32),
        where="in the row builder",
    ),
)
