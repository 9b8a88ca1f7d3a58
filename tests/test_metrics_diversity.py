"""distinct-1, distinct-2 and repetition: by hand, and what the gate makes of two runs that differ by nothing."""

from __future__ import annotations

import random

import pytest

from fake_model import FakeModel, sample, sample_set
from harness.gate import judge
from harness.gate.margins import MARGINS, SHARES
from harness.metrics import LOWER_IS_BETTER, METRICS, distinct_1, distinct_2, rep_4
from harness.metrics.diversity import distinct_of, repetition
from harness.records import Measurement, Outcome, Reference


def measured(*answers: str, metric: str = "distinct_1") -> Measurement:
    prompts = [f"prompt {number:03}" for number in range(len(answers))]
    model = FakeModel(answers=dict(zip(prompts, answers, strict=True)))
    return METRICS[metric](model, sample_set(*map(sample, prompts)))


def test_distinct_counts_words_over_all_answers() -> None:
    """I am fine / I am tired / 我 很 好: 7 different words of 9, 5 different pairs of 6."""
    answers = ("I am fine", "I am tired", "我很好")
    assert measured(*answers).value == pytest.approx(7 / 9) == distinct_of(answers, 1)
    assert measured(*answers, metric="distinct_2").value == pytest.approx(5 / 6) == distinct_of(answers, 2)


def test_an_answers_part_is_what_would_be_missing_without_it() -> None:
    """I and am are shared: 2 of 4 different words, 2/3 to each answer."""
    found = measured("I am fine", "I am tired", "I")
    assert [score.values for score in found.scores.values()] == [
        pytest.approx((1 + 2 / 3, 3.0)),
        pytest.approx((1 + 2 / 3, 3.0)),
        pytest.approx((0 + 2 / 3, 1.0)),
    ]
    assert found.value == pytest.approx(4 / 7)


def test_one_answer_to_every_prompt_is_seen() -> None:
    varied = measured(*(f"answer number {number} is its own" for number in range(40)), metric="distinct_2")
    same = measured(*["I can do that for you"] * 40, metric="distinct_2")
    verdict = judge(same, Reference("base", varied), margin=MARGINS["distinct_2"], alpha=0.05, comparisons=1)
    assert verdict.outcome is Outcome.REGRESSED


def test_a_subset_is_not_compared_with_the_whole_set() -> None:
    whole, part = measured("one two", "three two", "four"), measured("one two", "three two")
    verdict = judge(part, Reference("base", whole), margin=0.02, alpha=0.05, comparisons=1)
    assert verdict.outcome is Outcome.NOT_COMPARABLE
    assert "over " in verdict.reason


@pytest.mark.parametrize("metric", ["distinct_1", "distinct_2"])
def test_two_runs_of_one_writer_raise_no_more_alarms_than_alpha_allows(metric: str) -> None:
    """Each answer is a draw from few words by Zipf's law, so that answers share most of what they say."""
    words = [f"w{rank}" for rank in range(300)]
    weights = [1 / (rank + 1) for rank in range(300)]
    drawn = random.Random(0)

    def run() -> Measurement:
        return measured(
            *(" ".join(drawn.choices(words, weights, k=drawn.randint(3, 20))) for _ in range(30)), metric=metric
        )

    alarms = sum(
        judge(run(), Reference("base", run()), margin=0.0, alpha=0.05, comparisons=1).outcome is Outcome.REGRESSED
        for _ in range(60)
    )
    assert alarms <= 6  # 3 are expected; 7 or more have a chance of 3 %


@pytest.mark.parametrize(
    ("answer", "share"),
    [
        ("one two three four five", 0.0),
        ("one two three", 0.0),
        ("", 0.0),
        ("a b c d a b c d", 1 / 5),
        ("ha " * 11, 7 / 8),
        ("很好很好很好", 1 / 3),
    ],
    ids=["none", "too short", "empty", "once", "laughter", "Chinese"],
)
def test_repetition_is_the_share_of_runs_that_were_there_before(answer: str, share: float) -> None:
    assert repetition(answer) == pytest.approx(share)


def test_repetition_is_a_mean_over_answers_and_less_is_better() -> None:
    found = measured("ha " * 11, "one two three four five", metric="rep_4")
    assert (found.value, found.higher_is_better, found.chance) == (pytest.approx(7 / 16), False, None)
    assert found.signature == (
        "metric:rep_4|level:mean|tok:rouge+script|case:lc|answers:greedy|limit:128-1024-by-reference|template:t0|version:1"
    )


def test_answers_without_a_pair_of_words_have_no_variety_to_measure() -> None:
    assert measured("yes", "no", metric="distinct_2").problems == ("no answer has 2 words",)
    assert measured("yes", "no", metric="distinct_1").problems == ()


@pytest.mark.parametrize("metric", [distinct_1, distinct_2, rep_4])
def test_mostly_empty_answers_are_a_broken_run(metric: object) -> None:
    (problem, *_) = measured("", "", "a b c d", metric=metric.__name__).problems  # type: ignore[attr-defined]
    assert problem.startswith("2 of 3 answers are empty")


def test_every_metric_has_a_margin_and_those_that_point_down_exist() -> None:
    assert set(METRICS) <= {*MARGINS, *SHARES}
    assert set(METRICS) >= LOWER_IS_BETTER
