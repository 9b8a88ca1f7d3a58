"""Brier score and calibration error: by hand, against scikit-learn, and on a model that is calibrated as it is made."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
import pytest

from fake_model import FakeModel, sample, sample_set
from harness.gate import judge
from harness.metrics import acc, brier, ece
from harness.records import Outcome, Reference, SampleSet


def answered_with(*rows: tuple[list[float], int]) -> tuple[FakeModel, SampleSet]:
    """A model that gives the choices of each question these probabilities, and the questions with their targets."""
    table = {
        (f"q{number:03}", f" {place}"): math.log(p)
        for number, (probabilities, _) in enumerate(rows)
        for place, p in enumerate(probabilities)
    }
    questions = [
        sample(f"q{number:03}", choices=[str(place) for place in range(len(probabilities))], target=target)
        for number, (probabilities, target) in enumerate(rows)
    ]
    return FakeModel(likelihood=lambda context, choice: table[str(context), choice]), sample_set(*questions)


BY_HAND = [([0.7, 0.3], 0), ([0.65, 0.35], 1), ([0.1, 0.9], 1), ([0.25, 0.25, 0.25, 0.25], 2)]


def test_the_brier_score_by_hand() -> None:
    measured = brier(*answered_with(*BY_HAND))
    assert [score.values[0] for score in measured.scores.values()] == pytest.approx([0.18, 0.845, 0.02, 0.75])
    assert measured.value == pytest.approx(1.795 / 4)
    assert (measured.higher_is_better, measured.aggregate) == (False, None)
    assert measured.chance == pytest.approx((0.5 + 0.5 + 0.5 + 0.75) / 4)


def test_the_calibration_error_by_hand() -> None:
    """Bins (0.6, 0.7] with 0.7 right and 0.65 wrong, (0.8, 0.9] with 0.9 right, (0.2, 0.3] with 0.25 wrong."""
    measured = ece(*answered_with(*BY_HAND))
    assert measured.value == pytest.approx((abs(1 - 1.35) + abs(1 - 0.9) + abs(0 - 0.25)) / 4)
    assert measured.scores["q000"].values == pytest.approx((*[0.0] * 6, 0.3, 0.0, 0.0, 0.0, 1.0))
    assert measured.signature == ("metric:ece|level:corpus|bins:10-equal-width|format:plain|delimiter:space|version:1")


def test_confidence_counts_what_the_choices_share_and_not_their_likelihood() -> None:
    """Likelihoods of a tenth of those above: the same probabilities."""
    scaled = answered_with(*(([p / 10 for p in row], target) for row, target in BY_HAND))
    assert brier(*scaled).value == pytest.approx(brier(*answered_with(*BY_HAND)).value)


def drawn(n: int, sharper: float = 1.0, seed: int = 0) -> tuple[FakeModel, SampleSet]:
    """Targets drawn by the probabilities of four choices; the model states them, ``sharper`` than they are."""
    numbers = np.random.default_rng(seed)
    rows = []
    for _ in range(n):
        true = numbers.dirichlet([0.7] * 4)
        stated = true**sharper / (true**sharper).sum()
        rows.append((list(np.clip(stated, 1e-12, 1)), int(numbers.choice(4, p=true))))
    return answered_with(*rows)


def test_brier_equals_scikit_learns() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    numbers = random.Random(0)
    rows = []
    for _ in range(50):
        weights = [numbers.random() + 0.01 for _ in range(3)]
        rows.append(([weight / sum(weights) for weight in weights], numbers.randrange(3)))
    theirs = metrics.brier_score_loss(
        [target for _, target in rows], [row for row, _ in rows], labels=[0, 1, 2], scale_by_half=False
    )
    assert brier(*answered_with(*rows)).value == pytest.approx(theirs, rel=1e-9)


def test_true_probabilities_have_little_error_and_sharper_ones_much() -> None:
    calibrated, boastful = ece(*drawn(2000)).value, ece(*drawn(2000, sharper=4.0)).value
    assert calibrated < 0.04
    assert boastful > 3 * calibrated
    assert brier(*drawn(2000, sharper=4.0)).value > brier(*drawn(2000)).value


def test_sharpening_leaves_acc_as_it_is_and_the_gate_sees_what_it_costs() -> None:
    before, after = drawn(400), drawn(400, sharper=4.0)
    assert acc(*before).value == acc(*after).value
    for metric, margin in ((brier, 0.04), (ece, 0.05)):
        verdict = judge(metric(*after), Reference("base", metric(*before)), margin=margin, alpha=0.05, comparisons=2)
        assert verdict.outcome is Outcome.REGRESSED, verdict.reason


def test_statistics_of_two_halves_add_up() -> None:
    model, questions = drawn(60)
    whole = ece(model, questions)
    rows = np.array([score.values for score in whole.scores.values()])
    assert whole.aggregate is not None
    assert whole.value == pytest.approx(whole.aggregate(np.array([rows[:25].sum(axis=0), rows[25:].sum(axis=0)])))


@pytest.mark.parametrize("metric", [brier, ece])
def test_an_undefined_likelihood_is_a_broken_run(metric: Any) -> None:
    questions = sample_set(sample("q", choices=("a", "b"), target=0), sample("r", choices=("a", "b"), target=1))
    broken = metric(FakeModel(likelihood=lambda context, _: math.nan if context == "r" else -1.0), questions)
    assert broken.problems[0].startswith("the log-likelihood of 1 of 2 samples is not a number (first: r)")
