"""HumanEval, whose programs are scored and never run: how likely is the authors' solution?"""

from __future__ import annotations

from harness.benchmarks.cells import text
from harness.benchmarks.record import Benchmark, Form, Question, Row


def _solution(row: Row) -> Question:
    return Question(text(row, "prompt"), ending=text(row, "canonical_solution"))


CODE = (
    Benchmark(
        name="humaneval",
        path="openai/openai_humaneval",
        split="test",
        forms=(Form(("prompt", "canonical_solution"), _solution),),
        metrics=("bits_per_byte",),
        licence="MIT",
        version="1.0",
        scoring="continuation",
        folders=("human_eval",),
        identity="task_id",
    ),
)
