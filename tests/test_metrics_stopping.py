"""The stop rate, leaked control text and loops, each with a legitimate twin that must not alarm."""

from __future__ import annotations

import pytest

from fake_model import FakeModel, completion, sample, sample_set
from harness.metrics import hardly_stops, leaked_control_text, loop_rate, same_answers, stop_rate
from harness.metrics.stopping import ends_in_a_loop
from harness.models.base import Completion

CONTROL = {1000: "<|end|>", 1001: "<|turn|>", 1002: "<s>"}


def ids_of(text: str) -> list[int]:
    return list(text.encode())


def test_stop_rate_counts_answers_that_ended_themselves() -> None:
    model = FakeModel(answers={"a": "yes", "b": completion("on and on", stopped=False), "c": "no", "d": "no"})
    measured = stop_rate(model, sample_set(*map(sample, "abcd")))
    assert (measured.value, measured.chance, measured.higher_is_better) == (0.75, 0.0, True)
    assert measured.stderr == pytest.approx((0.1875 / 3) ** 0.5)
    assert measured.signature == ("metric:stop_rate|answers:greedy|limit:128-1024-by-reference|template:t0|version:1")


@pytest.mark.parametrize(
    ("leak", "where"),
    [
        (completion("hi", ids=[104, 1001, 105]), "token 1 of 4"),
        (completion("hi", ids=[104, 1000, 105]), "token 1 of 4"),
        (completion("hi", ids=[104, 105, 1000], stopped=False), "token 2 of 3"),
        (completion("hi<|turn|>user"), "character 2 of 14"),
    ],
    ids=["another turn", "a terminator that did not stop", "a terminator at the limit", "spelled out"],
)
def test_control_text_inside_an_answer_is_found(leak: Completion, where: str) -> None:
    (finding,) = leaked_control_text({"good": completion("hello"), "bad": leak}, CONTROL)
    assert finding.where == f"sample bad, {where}"


@pytest.mark.parametrize(
    "answer",
    [
        completion("hello"),
        completion("cut off here", stopped=False),
        completion(""),
        completion("Strike it with <s>old</s> in HTML; `a <| b |> c` is a pipe."),
    ],
    ids=["terminator at the end", "cut off", "empty", "markup"],
)
def test_a_clean_answer_leaks_nothing(answer: Completion) -> None:
    assert leaked_control_text({"x": answer}, CONTROL) == []


@pytest.mark.parametrize(
    "text",
    ["!" * 128, "Sure. " + "I am sure. " * 11, "The answer is 4. " * 8, "是的" * 64],
    ids=["one token", "after a start", "a sentence", "Chinese"],
)
def test_a_loop_that_runs_into_the_limit_is_found(text: str) -> None:
    assert ends_in_a_loop(completion(text, stopped=False))


@pytest.mark.parametrize(
    ("text", "stopped"),
    [
        ("ha " * 30, True),
        ("| a | b | c |\n|---|---|---|\n| 1 | 2 | 3 |\n", True),
        ("Chapter one " + "." * 60 + " 12", True),
        ("".join(f"{number}. item\n" for number in range(1, 17)), False),
        ("Contents of this rather long book of many chapters, in order\n\n" + "." * 40, False),
        ("Row, row, row your boat, gently down the stream. " * 3, False),
        ("", False),
    ],
    ids=["laughter", "table", "dotted line", "list cut off", "dotted line cut off", "refrain", "empty"],
)
def test_honest_repetition_is_no_loop(text: str, stopped: bool) -> None:
    assert not ends_in_a_loop(completion(text, stopped=stopped))


def test_loop_rate_counts_answers_that_ran_in_circles_and_less_is_better() -> None:
    model = FakeModel(answers={"a": "yes", "b": completion("!" * 128, stopped=False), "c": "no", "d": "no"})
    measured = loop_rate(model, sample_set(*map(sample, "abcd")))
    assert (measured.value, measured.higher_is_better) == (0.25, False)


def test_a_model_that_hardly_ever_stops_is_found_and_one_that_mostly_does_is_not() -> None:
    endless = {str(i): completion("on and on", stopped=False) for i in range(20)}
    (finding,) = hardly_stops(endless)
    assert "0 ended" in finding.found
    assert hardly_stops({str(i): completion("on", stopped=i % 4 > 0) for i in range(20)}) == []


def test_answers_that_are_all_the_base_models_are_found_unless_the_weights_are_too() -> None:
    base = {str(i): completion(f"answer {i}") for i in range(20)}
    assert len(same_answers(base, base, same_weights=False)) == 1
    assert same_answers(base, base, same_weights=True) == []
    assert same_answers(base | {"3": completion("another")}, base, same_weights=False) == []
