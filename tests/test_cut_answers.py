"""Answers that were cut: the run is broken only where more room, or no stop string, gives what they lacked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from fake_model import FakeModel, completion, sample, sample_set
from harness.benchmarks.catalogue import BENCHMARKS, answered_within
from harness.errors import InvalidRunError, UsageError
from harness.metrics.cut_answers import ASKED_AGAIN, ROOM
from harness.metrics.generated import flexible_extract, prompt_level_strict_acc, strict_match
from harness.models.base import Completion
from harness.zoo.eval_generation import AND_ON, RAMBLING, SAMPLES, UNSAID, WORKED, saying

STOP = ("Question:",)


@dataclass
class Cut(FakeModel):
    """An engine of one token a character, whose answers are written down by prompt, whole."""

    written: Callable[[str], str] = field(default=lambda prompt: "")
    ends: bool = True
    asked: list[tuple[int, int, tuple[str, ...]]] = field(default_factory=list)

    def generate(self, prompts, *, max_new_tokens, stop=()):
        self.asked.append((len(prompts), max_new_tokens, tuple(stop)))
        return [self._answer(self.written(prompt), max_new_tokens, stop) for prompt in prompts]

    def _answer(self, whole, limit, stop):
        text = whole[:limit]
        ended = "terminator" if self.ends and len(whole) < limit else "length"
        for string in stop:
            if string in text:
                text, ended = text.split(string)[0], "stop"
        return Completion(text, text, tuple(text.encode()), ended)


def numbered(n):
    return sample_set(*(sample(f"{number}", references=[f"#### {number}"]) for number in range(n)))


def right_after(words):
    return lambda prompt: f"{words} #### {prompt}"


def test_a_limit_that_cuts_most_answers_breaks_the_run():
    model = Cut(written=right_after("So many words before it."))
    (problem, ended) = strict_match(model, numbered(40), max_new_tokens=12).problems
    assert problem.startswith("40 of 40 answers were cut off at 12 tokens without a result, and 10 of 10 ")
    assert "(first: 0); give a higher --max-new-tokens" in problem
    assert ended == "answers ended by: length 40"
    assert model.asked == [(40, 12, ()), (10, ROOM, ())]


def test_few_answers_that_were_cut_move_no_verdict():
    """One in two hundred is half of what would; the others end in time."""

    def late(prompt):
        return ("So many words before it. " if prompt == "7" else "") + f"#### {prompt}"

    assert strict_match(Cut(written=late), numbered(200), max_new_tokens=20).problems == ()
    assert strict_match(Cut(written=late), numbered(50), max_new_tokens=20).problems


def test_a_chat_model_that_ends_without_the_marker_was_cut_all_the_same():
    model = Cut(written=lambda prompt: "It is not easy to say, but the result is " + prompt)
    assert flexible_extract(model, numbered(20), max_new_tokens=20).problems
    assert flexible_extract(model, numbered(20), max_new_tokens=60).problems == ()


@pytest.mark.parametrize("limit", [24, ROOM])
def test_a_model_that_never_comes_to_an_end_has_earned_its_score(limit):
    endless = "".join(f"and then {number} came by, " for number in range(1, 400))
    model = Cut(written=lambda prompt: endless, ends=False)
    assert strict_match(model, numbered(20), max_new_tokens=limit).problems == ()
    assert len(model.asked) == (1 if limit == ROOM else 2), "a limit of that much is not doubted"


def test_an_answer_that_had_its_result_is_not_asked_again():
    model = Cut(written=lambda prompt: f"#### {prompt} " + "and on " * 99, ends=False)
    assert strict_match(model, numbered(20), max_new_tokens=40).problems == ()
    assert len(model.asked) == 1


def test_no_more_than_some_are_asked_again():
    model = Cut(written=right_after("So many words before it."))
    strict_match(model, numbered(500), max_new_tokens=12)
    assert 0.8 * ASKED_AGAIN < model.asked[1][0] <= ASKED_AGAIN


def test_a_stop_string_in_the_reasoning_breaks_the_run():
    model = Cut(written=right_after("The Question: it asks for a number."))
    (problem, ended) = strict_match(model, numbered(20), stop=STOP).problems
    assert "20 of 20 answers were ended by a stop string before they had a result, and 5 of 5 " in problem
    assert "without 'Question:' are right (first: 0)" in problem
    assert ended == "answers ended by: stop 20"
    assert strict_match(model, numbered(20), stop=("Query:",)).problems == ()


def test_results_of_other_questions_are_no_sign_of_a_cut():
    """One in ten is right by chance, since results are small numbers."""
    model = Cut(written=lambda prompt: f"I do not know.\nQuestion: And?\n#### {int(prompt) % 10}", ends=False)
    assert strict_match(model, numbered(100), stop=STOP).problems == ()


def test_empty_answers_are_told_and_those_of_a_stop_string_are_asked_again():
    silent = FakeModel({each.id: completion("") for each in numbered(12)})
    (problem, ended) = strict_match(silent, numbered(12), stop=STOP).problems
    assert problem.startswith("12 of 12 answers are empty")
    assert ended == "answers ended by: terminator 12"
    weak = Cut(written=lambda prompt: "Question: is it?", ends=False)
    assert strict_match(weak, numbered(12), stop=STOP).problems == ()
    cut = Cut(written=right_after("Question: it is"))
    assert strict_match(cut, numbered(12), stop=STOP).problems


def test_an_instruction_is_not_judged_by_half_an_answer():
    rows = {"instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}
    asked = replace(numbered(12), samples=tuple(replace(each, data=rows) for each in numbered(12)))
    long = Cut(written=lambda prompt: "word " * 30)
    assert prompt_level_strict_acc(long, asked, max_new_tokens=20).problems
    assert prompt_level_strict_acc(long, asked, max_new_tokens=1280).problems == ()


def test_the_room_that_is_left_is_what_is_asked_for():
    """The demo has 512 positions, so that 1024 tokens more are not to be had."""
    assert strict_match(saying(WORKED), SAMPLES, stop=STOP, max_new_tokens=8).problems
    assert strict_match(saying(WORKED), SAMPLES, stop=STOP).problems == ()


@pytest.mark.parametrize("answer", [RAMBLING, UNSAID, WORKED + AND_ON], ids=["rambling", "unsaid", "and on"])
def test_what_a_base_model_says_is_judged(answer):
    measured = flexible_extract(saying(answer, ends=False), SAMPLES, stop=STOP, max_new_tokens=96)
    assert measured.problems == ()
    assert measured.value == (1.0 if answer.startswith(WORKED) else 0.0)


def test_an_engine_that_leaves_answers_out_is_told():
    class Short(Cut):
        def generate(self, prompts, **how):
            return super().generate(prompts, **how)[1:]

    with pytest.raises(InvalidRunError, match=r"returned 11 entries for 12 requests"):
        strict_match(Short(written=str), numbered(12))


def test_another_limit_is_for_benchmarks_whose_answers_are_written_out():
    chosen = (BENCHMARKS["gsm8k"], BENCHMARKS["arc_easy"])
    assert [each.max_new_tokens for each in answered_within(chosen, 999)] == [999, 0]
    with pytest.raises(UsageError, match=r"--max-new-tokens is for benchmarks .*: gsm8k, svamp, ifeval; name one"):
        answered_within((BENCHMARKS["arc_easy"],), 999)
