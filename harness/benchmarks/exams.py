"""School and university exams of four choices: MMLU in English, C-Eval and CMMLU in Chinese."""

from __future__ import annotations

from harness.benchmarks.cells import options, place_of, text, texts
from harness.benchmarks.record import Benchmark, Form, Question, Row
from harness.benchmarks.subjects import SUBJECTS
from harness.errors import DataError

LETTERS = ("A", "B", "C", "D")


def _exam(question: str, choices: tuple[str, ...], answer: str, target: int) -> Question:
    """The choices stand in the question, and their letters are what is scored."""
    if len(choices) != len(LETTERS):
        raise DataError(f"the question has {len(choices)} choices, four are expected.")
    lines = [f"{letter}. {choice}" for letter, choice in zip(LETTERS, choices, strict=True)]
    return Question("\n".join([question.strip(), *lines, answer]), LETTERS, target)


def _mmlu(row: Row) -> Question:
    """The hub has the index of the right choice."""
    return _exam(text(row, "question"), texts(row, "choices"), "Answer:", _index(row))


def _index(row: Row) -> int:
    return place_of(row, "answer", tuple(map(str, range(len(LETTERS)))))


def _mmlu_of_columns(row: Row) -> Question:
    choices = tuple(text(row, letter) for letter in LETTERS)
    return _exam(text(row, "question"), choices, "Answer:", place_of(row, "answer", LETTERS))


def _mmlu_of_options(row: Row) -> Question:
    choices, target = options(row)
    return _exam(text(row, "question"), choices, "Answer:", target)


def _ceval(row: Row) -> Question:
    choices = tuple(text(row, letter) for letter in LETTERS)
    return _exam(text(row, "question"), choices, "答案：", place_of(row, "answer", LETTERS))


def _cmmlu(row: Row) -> Question:
    choices = tuple(text(row, letter) for letter in LETTERS)
    return _exam(text(row, "Question"), choices, "答案：", place_of(row, "Answer", LETTERS))


EXAMS = (
    Benchmark(
        name="mmlu",
        path="cais/mmlu",
        split="test",
        forms=(
            Form(("question", "choices", "answer"), _mmlu),
            Form(("question", *LETTERS, "answer"), _mmlu_of_columns),
            Form(("question", "options", "answer"), _mmlu_of_options, with_subject=False),
        ),
        metrics=("acc",),
        licence="MIT",
        version="1.0",
        shots=5,
        shots_split="dev",
        draw="first",
        subjects=SUBJECTS["mmlu"],
        subject_field="subject",
        description="The following are multiple choice questions (with answers) about {subject}.\n\n",
        folders=("hendrycks_test", "hendryckstest"),
        columns=("question", *LETTERS, "answer"),
    ),
    Benchmark(
        name="ceval-valid",
        path="ceval/ceval-exam",
        split="val",
        forms=(Form(("question", *LETTERS, "answer"), _ceval),),
        metrics=("acc", "acc_norm"),
        licence="CC BY-NC-SA 4.0",
        version="2.0",
        shots=5,
        shots_split="dev",
        draw="first",
        subjects=SUBJECTS["ceval-valid"],
        description="以下是中国关于{subject}的单项选择题，请选出其中的正确答案。\n\n",
        folders=("ceval", "c_eval"),
    ),
    Benchmark(
        name="cmmlu",
        path="haonan-li/cmmlu",
        split="test",
        forms=(Form(("Question", *LETTERS, "Answer"), _cmmlu),),
        metrics=("acc", "acc_norm"),
        licence="CC BY-NC 4.0",
        version="1.0",
        shots=5,
        shots_split="dev",
        draw="first",
        subjects=SUBJECTS["cmmlu"],
        description="以下是关于{subject}的单项选择题，请直接给出正确答案的选项。\n\n",
    ),
)
