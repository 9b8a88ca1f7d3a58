"""Sets whose answers are written out: GSM8K and SVAMP (a number at the end), IFEval (instructions that code checks)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from harness.benchmarks.cells import text
from harness.benchmarks.record import Benchmark, Form, Question, Row
from harness.errors import DataError

STOP = ("Question:", "</s>", "<|im_end|>")

SVAMP_SHOTS = """\
Question: A shelf holds 7 red cups and 5 blue cups. How many cups does the shelf hold?
Answer: The red and the blue cups together are 7 + 5 = 12 cups.
#### 12

Question: Nora had 31 shells. She gave 9 of them to her brother and lost 2 on the way home. How many shells are left?
Answer: Nora gave away and lost 9 + 2 = 11 shells. That leaves 31 - 11 = 20 shells.
#### 20

Question: There are 6 rows of chairs with 8 chairs in each row, and 40 guests. How many chairs are there?
Answer: The guests do not matter. 6 rows of 8 chairs are 6 * 8 = 48 chairs.
#### 48

Question: A cook has 45 eggs and needs 9 for each cake. How many cakes can he bake?
Answer: With 9 eggs for each cake, 45 eggs are enough for 45 / 9 = 5 cakes.
#### 5

"""
"""SVAMP's rows have no worked answers to learn the form from, so these stand before every question."""


def _gsm8k(row: Row) -> Question:
    answer = text(row, "answer")
    if not re.search(r"#### \S", answer):
        raise DataError("answer has no result behind '#### ', by which GSM8K's answers end.")
    return Question(f"Question: {text(row, 'question')}\nAnswer:", references=(answer,))


def _svamp(row: Row) -> Question:
    body, question = text(row, "Body").strip(), text(row, "Question").strip()
    return Question(f"Question: {body} {question}\nAnswer:", references=(_number(row["Answer"]),))


MOST_DIGITS = 30
"""Before or behind the point; 1e99999999 is nine letters, and more digits than any memory holds."""


def _number(value: Any) -> str:
    """A number as an answer would write it: SVAMP has 145.0 where 145 is meant."""
    try:
        number = Decimal(str(value).strip().replace(",", ""))
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or abs(number.adjusted()) > MOST_DIGITS:
        raise DataError(f"Answer is {str(value)[:60]!r}, a number is expected.")
    return str(int(number)) if number == int(number) else format(number.normalize(), "f")


def _ifeval(row: Row) -> Question:
    """What the instructions state is checked where they are measured; in a table every one has all parameters."""
    names, stated = row["instruction_id_list"], row["kwargs"]
    if not isinstance(names, list | tuple) or not isinstance(stated, list | tuple):
        raise DataError("instruction_id_list and kwargs must be lists, with an entry for each instruction.")
    data = {"instruction_id_list": list(names), "kwargs": [_stated(parameters) for parameters in stated]}
    return Question(text(row, "prompt"), data=data)


def _stated(parameters: Any) -> dict[str, Any]:
    if parameters is not None and not isinstance(parameters, Mapping):
        raise DataError(f"kwargs holds {str(parameters)[:60]!r}, the parameters of one instruction are expected.")
    return {key: value for key, value in (parameters or {}).items() if value is not None}


EXTRACTED = ("exact_match,strict-match", "exact_match,flexible-extract")

GENERATED = (
    Benchmark(
        name="gsm8k",
        path="openai/gsm8k",
        config="main",
        split="test",
        forms=(Form(("question", "answer"), _gsm8k),),
        metrics=EXTRACTED,
        licence="MIT",
        version="3.0",
        scoring="generation",
        shots=5,
        shots_split="train",
        folders=("grade_school_math",),
        stop=STOP,
        max_new_tokens=256,
    ),
    # lm-eval has no task for it: it is asked and scored as lm-eval does GSM8K, so that the two can be read together.
    Benchmark(
        name="svamp",
        preamble=SVAMP_SHOTS,
        path="ChilleD/SVAMP",
        split="test",
        forms=(Form(("Body", "Question", "Answer"), _svamp),),
        metrics=EXTRACTED,
        licence="MIT",
        version="1.0",
        scoring="generation",
        identity="ID",
        stop=STOP,
        max_new_tokens=256,
    ),
    Benchmark(
        name="ifeval",
        path="google/IFEval",
        split="train",
        forms=(Form(("prompt", "instruction_id_list", "kwargs"), _ifeval),),
        metrics=(
            "prompt_level_strict_acc",
            "inst_level_strict_acc",
            "prompt_level_loose_acc",
            "inst_level_loose_acc",
        ),
        licence="Apache-2.0",
        version="4.0",
        scoring="instructions",
        folders=("instruction_following_eval",),
        identity="key",
        max_new_tokens=1280,
    ),
)
