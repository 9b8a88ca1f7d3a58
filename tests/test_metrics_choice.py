"""acc and acc_norm against lm-eval's own task code; bits per byte and perplexity against their definitions."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any

import pytest

from fake_model import FakeModel, sample, sample_set
from harness.errors import DataError, InvalidRunError, UsageError
from harness.metrics import METRICS, acc, acc_norm, bits_per_byte, perplexity
from harness.records import SampleSet

WORDS = ["a", "be", "sea", "blue sky", "deep blue sea", "红", "红色的大海", "an ocean of words"]


def random_questions(n: int) -> SampleSet:
    generator = random.Random(0)
    return sample_set(
        *(
            sample(f"Question {i}:", choices=(choices := generator.sample(WORDS, i % 3 + 2)), target=i % len(choices))
            for i in range(n)
        )
    )


def likelihood(context: Any, continuation: str) -> float:
    """Made up, negative, coarse enough for ties."""
    return -1.0 - random.Random(f"{context}|{continuation}").randrange(4)


@pytest.mark.parametrize("metric", ["acc", "acc_norm"])
def test_scores_equal_those_of_lm_eval_on_the_same_items(metric: str) -> None:
    """lm-eval builds the requests, the fake model answers them, and lm-eval scores the answers."""
    task_module = pytest.importorskip("lm_eval.api.task")
    questions = random_questions(60)
    rows = [{"q": s.prompt, "choices": list(s.choices), "gold": s.target} for s in questions]
    datasets = pytest.importorskip("datasets")
    task = task_module.ConfigurableTask(
        config={
            "task": "ours",
            "custom_dataset": lambda **_: {"test": datasets.Dataset.from_list(rows)},
            "output_type": "multiple_choice",
            "test_split": "test",
            "doc_to_text": "{{q}}",
            "doc_to_choice": "{{choices}}",
            "doc_to_target": "{{gold}}",
            "metric_list": [{"metric": name, "aggregation": "mean"} for name in ("acc", "acc_norm")],
        }
    )
    theirs = []
    for row in rows:
        requests = task.construct_requests(row, task.doc_to_text(row), metadata=("ours", 0, 1))
        replies = [(likelihood(*request.args), False) for request in requests]
        theirs.append(task.process_results(row, replies)[metric])

    ours = METRICS[metric](FakeModel(likelihood=likelihood), questions)

    assert [ours.scores[question.id].values[0] for question in questions] == theirs
    assert ours.value == task.aggregation()[metric](theirs)
    assert ours.stderr == pytest.approx(pytest.importorskip("lm_eval.api.metrics").mean_stderr(theirs), rel=1e-12)


def test_the_first_choice_wins_a_tie() -> None:
    question = sample("q", choices=("one", "two"), target=0)
    assert acc(FakeModel(likelihood=lambda *_: -1.0), sample_set(question)).value == 1.0


def test_length_counts_characters_not_bytes() -> None:
    """Per character -1.0 beats -1.2; per byte the Chinese choice (3 bytes each) would have won."""
    question = sample("q", choices=("abcd", "海海"), target=0)
    totals = {" abcd": -4.0, " 海海": -2.4}
    assert acc_norm(FakeModel(likelihood=lambda _, text: totals[text]), sample_set(question)).value == 1.0


def test_a_chat_gives_messages_as_context_and_no_delimiter() -> None:
    asked: list[tuple[Any, str]] = []

    def note(context: Any, continuation: str) -> float:
        asked.append((context, continuation))
        return -1.0

    question = sample("q", choices=("one", "two"), target=0)
    measured = acc(FakeModel(likelihood=note), sample_set(question), chat=True)
    assert asked == [(question.messages, "one"), (question.messages, "two")]
    assert measured.signature == "metric:acc|format:chat|delimiter:none|template:t0|version:1"


def test_chance_is_the_mean_of_one_over_the_number_of_choices() -> None:
    questions = sample_set(
        sample("two", choices=("a", "b"), target=0), sample("four", choices=("a", "b", "c", "d"), target=0)
    )
    measured = acc(FakeModel(likelihood=likelihood), questions)
    assert measured.chance == 0.375
    assert measured.signature == "metric:acc|format:plain|delimiter:space|version:1"
    assert measured.name == "set/acc"


def test_an_undefined_likelihood_is_a_broken_run() -> None:
    questions = sample_set(sample("q", choices=("a", "b"), target=0), sample("r", choices=("a", "b"), target=0))
    broken = acc(FakeModel(likelihood=lambda c, _: math.nan if c == "r" else -1.0), questions)
    assert broken.problems == (
        "the log-likelihood of 1 of 2 samples is not a number (first: r); check the weights, or run in float32",
    )
    assert acc(FakeModel(likelihood=likelihood), questions).problems == ()


@pytest.mark.parametrize(
    ("choices", "target", "words"),
    [
        ((), 0, "two non-empty"),
        (("a", ""), 0, "two non-empty"),
        (("a", "b"), None, "target"),
        (("a", "b"), 2, "target 2"),
    ],
)
def test_a_sample_that_is_no_question_is_named(choices: tuple[str, ...], target: int | None, words: str) -> None:
    with pytest.raises(DataError, match=f"'lame'.*{words}"):
        acc(FakeModel(), sample_set(sample("lame", choices=choices, target=target)))


@pytest.mark.parametrize("metric", sorted(METRICS))
def test_an_empty_set_is_refused_by_every_metric(metric: str) -> None:
    with pytest.raises(UsageError, match=f"{metric} cannot be measured on 'set': it holds no samples"):
        METRICS[metric](FakeModel(), sample_set())


def test_two_samples_of_one_id_are_refused() -> None:
    twins = sample_set(sample("x", sample_id="twin"), sample("y", sample_id="twin"))
    with pytest.raises(DataError, match="2 samples have the id 'twin'"):
        bits_per_byte(FakeModel(), twins)


def test_a_model_that_returns_too_little_is_refused() -> None:
    class Forgetful(FakeModel):
        def token_losses(self, texts: Any) -> list[tuple[float, ...]]:
            return [(1.0,)]

    with pytest.raises(InvalidRunError, match="1 entries for 2 requests"):
        bits_per_byte(Forgetful(), sample_set(sample("x"), sample("y")))


TEXTS = {"abcd": (1.0, 2.0), "海": (0.5,), "a longer text": (0.25, 3.0, 1.0)}


def test_bits_per_byte_weighs_texts_by_their_bytes() -> None:
    measured = bits_per_byte(FakeModel(losses=TEXTS), sample_set(*map(sample, TEXTS)))
    assert measured.value == pytest.approx(7.75 / math.log(2) / (4 + 3 + 13), rel=1e-15)
    assert measured.scores["海"].values == (0.5 / math.log(2), 3.0)
    assert not measured.higher_is_better
    assert measured.stderr > 0


def test_perplexity_weighs_texts_by_their_tokens() -> None:
    measured = perplexity(FakeModel(losses=TEXTS), sample_set(*map(sample, TEXTS)))
    assert measured.value == pytest.approx(math.exp(7.75 / 6), rel=1e-15)
    assert "unit:token" in measured.signature
    assert not measured.higher_is_better


def test_the_order_of_texts_changes_nothing() -> None:
    forward = bits_per_byte(FakeModel(losses=TEXTS), sample_set(*map(sample, TEXTS)))
    backward = bits_per_byte(FakeModel(losses=TEXTS), sample_set(*map(sample, reversed(TEXTS))))
    assert (forward.value, forward.stderr) == (backward.value, backward.stderr)


def test_a_text_without_scored_tokens_or_with_nan_is_a_broken_run() -> None:
    texts = sample_set(sample("x"), sample("y"))
    unscored = bits_per_byte(FakeModel(losses={"x": (), "y": (1.0,)}), texts)
    assert unscored.problems == ("no token was scored in 1 of 2 texts (first: x)",)
    undefined = bits_per_byte(FakeModel(losses={"x": (1.0,), "y": (math.nan,)}), texts)
    assert undefined.problems == ("1 of 2 scores are not finite numbers (first: y)",)
    assert math.isnan(undefined.value)


def test_a_single_sample_has_no_known_error() -> None:
    assert math.isnan(bits_per_byte(FakeModel(losses={"x": (1.0,)}), sample_set(sample("x"))).stderr)


def test_an_empty_text_is_named() -> None:
    with pytest.raises(DataError, match="'blank' has no text"):
        bits_per_byte(FakeModel(), sample_set(sample("", sample_id="blank")))


def test_a_question_that_is_there_twice_is_one_piece_of_evidence() -> None:
    thrice = [replace(sample("Is it?", choices=("yes", "no"), target=0), id=f"twin {copy}") for copy in range(3)]
    alone = sample("Was it?", choices=("yes", "no"), target=0)
    scores = acc(FakeModel(likelihood=likelihood), SampleSet("asked", (*thrice, alone))).scores
    assert len({scores[f"twin {copy}"].cluster for copy in range(3)} - {""}) == 1
    assert scores[alone.id].cluster == ""
