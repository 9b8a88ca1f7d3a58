"""The evaluate.Metric face of the text metrics: same numbers, no hub, misaligned references refused."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sacrebleu

from fake_model import answered
from harness.errors import DataError
from harness.metrics import METRICS
from harness.metrics.modules import (
    Bleu,
    Chrf,
    Distinct,
    ExactMatch,
    LengthRatio,
    Refusals,
    Repetition,
    Rouge,
    Ter,
    TokenF1,
)

ROWS = [
    ("the cat sat on the mat", ["the cat is on the mat", "a cat sat there"]),
    ("今天天气很好", ["今天的天气很好"]),
    ("dogs bark at night", ["dogs bark at night"]),
]
ANSWERS = [answer for answer, _ in ROWS]
REFERENCES = [references for _, references in ROWS]


@pytest.fixture
def load(tmp_path: Path) -> Callable[[type], Any]:
    """A module that keeps its scratch file in the test's own folder."""
    return lambda module: module(cache_dir=str(tmp_path))


@pytest.mark.parametrize("module", [Bleu, Chrf, Ter, Rouge, TokenF1, ExactMatch])
def test_a_module_gives_the_same_numbers_as_the_measurement(module: type, load: Callable[[type], Any]) -> None:
    result = load(module).compute(predictions=ANSWERS, references=REFERENCES)
    signature = result.pop("signature")
    model, samples = answered(*ROWS)
    assert result == {name: METRICS[name](model, samples).value for name in result}
    assert signature.startswith("metric:")


def test_rouge_reports_its_four_variants(load: Callable[[type], Any]) -> None:
    assert set(load(Rouge).compute(predictions=ANSWERS, references=REFERENCES)) == {
        *("rouge1", "rouge2", "rougeL", "rougeLsum", "signature")
    }


@pytest.mark.parametrize("module", [Distinct, Repetition])
def test_a_module_of_answers_alone_gives_the_same_numbers_too(module: type, load: Callable[[type], Any]) -> None:
    answers = ["the cat sat on the mat and the cat sat on the mat", "a dog", "今天天气很好"]
    result = load(module).compute(predictions=answers)
    assert result.pop("signature").startswith(f"metric:{module.__name__.lower()}|level:")
    model, samples = answered(*((answer, []) for answer in answers))
    assert result == {name: METRICS[name](model, samples).value for name in result} != {}


def test_the_length_ratio_stands_beside_what_the_gate_judges(load: Callable[[type], Any]) -> None:
    result = load(LengthRatio).compute(predictions=["one two three four"], references=["one two"])
    assert (result["length_ratio"], result["length_error"]) == (2.0, 0.5)


def test_refusals_come_with_what_could_not_be_read(load: Callable[[type], Any]) -> None:
    result = load(Refusals).compute(predictions=["I can't help with that.", "Sure.", "", "Here it is."])
    assert result == {"refusal_rate": 0.25, "unreadable": 0.25, "signature": "metric:refusals|rule:refusal-2|version:1"}


@pytest.mark.parametrize("predictions", [[], ["fine", None], ["fine", 3]], ids=["none", "no text", "a number"])
def test_predictions_that_are_no_texts_are_refused(predictions: list[Any], load: Callable[[type], Any]) -> None:
    with pytest.raises(DataError, match=r"nothing to score|prediction 1"):
        load(Distinct).compute(predictions=predictions)


def test_as_many_references_as_predictions_are_taken_as_they_stand(load: Callable[[type], Any]) -> None:
    """Their shape does not tell whether they are transposed; that the parameter means one list each has to."""
    square = [["a cat sat", "the cat sat"], ["a dog ran", "the dog ran"]]
    module = load(Bleu)
    right = module.compute(predictions=["the cat sat", "a dog ran"], references=square)["bleu"]
    wrong = module.compute(predictions=["the cat sat", "a dog ran"], references=[*zip(*square, strict=True)])["bleu"]
    assert right == pytest.approx(100)
    assert wrong < right


def test_references_may_be_plain_texts(load: Callable[[type], Any]) -> None:
    plain = ["the cat is on the mat", "a dog"]
    result = load(Bleu).compute(predictions=["the cat sat on the mat", "a dog"], references=plain)
    assert result["bleu"] == sacrebleu.corpus_bleu(["the cat sat on the mat", "a dog"], [plain]).score


def test_predictions_may_be_added_one_by_one(load: Callable[[type], Any]) -> None:
    module = load(ExactMatch)
    module.add(prediction="Paris", reference="Paris")
    module.add(prediction="Rome", reference=["Oslo", "Bern"])
    assert module.compute()["exact_match"] == 0.5


@pytest.mark.parametrize(
    ("references", "words"),
    [
        ([["a", "b", "c"]], "they are transposed"),
        ([["a", "b", "c"], ["d", "e", "f"]], "they are transposed"),
        (["a", "b"], "3 predictions have 2"),
        ([["a"], [], ["c"]], "prediction 1"),
        ([["a"], ["b"], [None]], "prediction 2"),
        (None, "nothing to score"),
    ],
    ids=["one stream", "two streams", "one short", "no reference", "no text", "none"],
)
def test_references_that_do_not_fit_are_refused(
    references: list[Any] | None, words: str, load: Callable[[type], Any]
) -> None:
    with pytest.raises(DataError, match=words):
        load(Bleu).compute(predictions=["a", "b", "c"], references=references)


def test_the_metrics_import_none_of_the_heavy_libraries() -> None:
    heavy = ["torch", "transformers", "evaluate", "datasets", "sacrebleu", "scipy", "rouge_score", "nltk"]
    code = f"import sys, harness.metrics; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
