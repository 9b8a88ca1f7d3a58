"""The gate's arithmetic against published values, definitions written out, and simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, norm, ttest_1samp

from harness.statistics import (
    PairedCorpus,
    above_chance_p,
    adjusted,
    corpus_stderr,
    detectable_difference,
    detectable_pairs,
    group_codes,
    mcnemar_p,
    mean_bounds,
    mean_stderr,
    sign_flip_p,
    step_down,
    tango_bounds,
    value_of,
)
from harness.statistics.groups import MAX_GROUPS, pooled
from harness.statistics.power import EXACT_PAIRS

counts = st.integers(0, 40)


def ratio(rows):
    return float(rows[:, 0].sum() / rows[:, 1].sum())


def mean_of_rows(rows):
    return float(rows[:, 0].mean())


def alone(n):
    return np.arange(n)


@pytest.mark.parametrize(("lost", "won"), [(0, 0), (5, 0), (9, 2), (2, 9), (30, 14)])
def test_mcnemar_is_the_binomial_test_of_the_flips(lost, won):
    expected = binomtest(lost, lost + won, 0.5, alternative="greater").pvalue if lost + won else 1.0
    assert mcnemar_p(lost, won) == pytest.approx(expected, abs=1e-12)


def test_tango_gives_the_published_interval_of_airway_reactivity():
    # Fagerland, Lydersen and Laake (2014), table 1 1 7 12: 95 % interval -0.517 to -0.026.
    assert tango_bounds(1, 7, 21, 0.025) == pytest.approx((-0.517, -0.026), abs=5e-4)


@given(lost=counts, won=counts, rest=st.integers(0, 200), alpha=st.sampled_from([0.05, 0.01]))
@settings(max_examples=60, deadline=None)
def test_tango_bounds_are_roots_of_the_closed_form(lost, won, rest, alpha):
    # Yang, Sun and Hardin (2013): both bounds are roots of one polynomial of degree four.
    n, d, s = lost + won + rest + 1, lost - won, lost + won
    g = norm.isf(alpha) ** 2
    polynomial = np.array(
        [
            n**2 * (n / g + 1) ** 2,
            -n * d * (n / g + 1) * (4 * n / g + 1),
            2 * n * d**2 * (3 * n / g + 2) / g - n**2 * (s / g + 1),
            n * d * (2 * s / g + 1) - d**3 * (4 * n / g + 1) / g,
            d**2 * (d**2 / g - s) / g,
        ]
    )
    for bound in tango_bounds(lost, won, n, alpha):
        terms = polynomial * bound ** np.arange(4, -1, -1)
        assert abs(terms.sum()) <= 1e-6 * np.abs(terms).sum()


def test_tango_still_has_a_width_where_nothing_flipped():
    z2 = norm.isf(0.05) ** 2
    assert tango_bounds(0, 0, 200, 0.05) == pytest.approx((-z2 / (200 + z2), z2 / (200 + z2)), abs=1e-9)


@pytest.mark.parametrize(("lost", "won", "end"), [(10, 0, 1), (0, 10, -1)])
def test_tango_ends_at_one_where_everything_flipped(lost, won, end):
    low, high = tango_bounds(lost, won, 10, 0.05)
    assert end in (low, high)
    assert high - low > 0.1


@given(lost=counts, won=counts)
@settings(max_examples=40, deadline=None)
def test_tango_bounds_mirror_when_sides_change(lost, won):
    n = lost + won + 10
    low, high = tango_bounds(lost, won, n, 0.05)
    assert tango_bounds(won, lost, n, 0.05) == pytest.approx((-high, -low), abs=1e-9)
    assert low <= (lost - won) / n <= high


def test_sign_flips_of_three_groups_are_counted_by_hand():
    # Sums over the 8 patterns of (3, 2, -1): the observed 4 and the one pattern above it, 6.
    assert sign_flip_p(np.array([3.0, 2.0, -1.0]), alone(3), 0.05) == 2 / 8
    assert sign_flip_p(np.array([1.0, 2.0, 2.0, -1.0]), np.array([0, 0, 1, 2]), 0.05) == 2 / 8


def test_many_sign_flips_agree_with_the_t_test():
    differences = np.random.default_rng(3).normal(0.1, 1, 400)
    expected = ttest_1samp(differences, 0, alternative="greater").pvalue
    assert sign_flip_p(differences, alone(400), 0.05) == pytest.approx(expected, rel=0.15)


def test_clusters_weigh_against_a_drop_that_one_cluster_carries():
    differences = np.where(np.arange(60) < 30, 1.0, 0.0) * np.random.default_rng(0).uniform(0.9, 1.1, 60)
    together = np.where(np.arange(60) < 30, 0, np.arange(60) - 29)
    assert sign_flip_p(differences, alone(60), 0.05) < 0.001
    assert sign_flip_p(differences, together, 0.05) > 0.4


def test_pooling_bounds_the_groups_and_keeps_clusters_whole():
    codes = np.repeat(np.arange(3 * MAX_GROUPS), 2)
    merged = pooled(codes)
    assert merged.max() + 1 == MAX_GROUPS
    assert (merged[0::2] == merged[1::2]).all()


def test_group_codes_keep_unlabelled_samples_apart():
    assert group_codes(["a", "", "a", "b", ""]).tolist() == [0, 1, 0, 2, 3]
    assert group_codes(["", "", ""]).tolist() == [0, 1, 2]


def test_the_standard_error_of_a_mean_knows_clusters():
    scores = np.random.default_rng(1).normal(size=50)
    assert mean_stderr(scores, alone(50)) == pytest.approx(scores.std(ddof=1) / math.sqrt(50))
    doubled, pairs = np.repeat(scores, 2), np.repeat(alone(50), 2)
    assert mean_stderr(doubled, pairs) == pytest.approx(mean_stderr(scores, alone(50)))
    assert math.isnan(mean_stderr(np.array([1.0]), alone(1)))


def test_mean_bounds_are_the_t_interval():
    differences = np.random.default_rng(2).normal(size=12)
    expected = ttest_1samp(differences, 0).confidence_interval(0.9)
    assert mean_bounds(differences, alone(12), 0.05) == pytest.approx((expected.low, expected.high))
    assert mean_bounds(differences[:1], alone(1), 0.05) is None


def test_randomisation_of_an_additive_metric_agrees_with_the_one_that_repeats_rows():
    random = np.random.default_rng(4)
    first = np.column_stack([random.uniform(1, 2, 80), np.ones(80)])  # a mean, so both aggregates say the same
    second = first - np.column_stack([random.normal(0.01, 0.15, 80), np.zeros(80)])
    fast = PairedCorpus.of(ratio, first, second, alone(80))
    slow = PairedCorpus.of(mean_of_rows, first, second, alone(80))
    assert (fast.both.additive, slow.both.additive) == (True, False)
    assert fast.randomisation_p(0.05) == pytest.approx(slow.randomisation_p(0.05))
    assert fast.randomisation_p(0.05) == pytest.approx(
        sign_flip_p(first[:, 0] - second[:, 0], alone(80), 0.05), rel=0.2
    )
    assert fast.bootstrap().std() == pytest.approx(slow.bootstrap().std())
    assert fast.shifts(first, second) == pytest.approx((first - second)[:, 0] / 80)
    assert not slow.shifts(first, second).any()


def test_a_corpus_of_equal_answers_has_no_evidence_in_either_direction():
    rows = np.random.default_rng(5).uniform(1, 2, (40, 2))
    same = PairedCorpus.of(ratio, rows, rows, alone(40))
    assert same.randomisation_p(0.05) == same.exchanged().randomisation_p(0.05) == 1.0
    assert np.abs(same.bootstrap()).max() < 1e-12


def test_the_corpus_standard_error_of_a_mean_is_that_of_the_mean():
    scores = np.random.default_rng(6).normal(5, 1, 200)
    rows = np.column_stack([scores, np.ones(200)])
    assert corpus_stderr(ratio, rows, alone(200)) == pytest.approx(mean_stderr(scores, alone(200)), rel=0.1)
    assert value_of(rows, ratio) == pytest.approx(scores.mean())
    assert math.isnan(corpus_stderr(ratio, rows[:1], alone(1)))


def test_above_chance_is_a_one_sided_binomial():
    assert above_chance_p(60, 100, 0.5) == pytest.approx(binomtest(60, 100, 0.5, alternative="greater").pvalue)
    assert above_chance_p(0, 50, 0.0) == 1.0
    assert above_chance_p(1, 50, 0.0) == 0.0


def test_adjusting_multiplies_and_ends_at_one():
    assert adjusted(0.01, 4) == 0.04
    assert adjusted(0.5, 4) == 1.0


def test_holm_multiplies_the_smallest_by_all_and_the_largest_by_what_is_left():
    assert step_down([0.04, 0.01, 0.03], 3) == pytest.approx([0.06, 0.03, 0.06])
    assert step_down([0.01, 0.6], 5) == [0.05, 1.0]
    assert step_down([], 4) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.integers(0, 5), st.floats(0.01, 0.4))
@settings(max_examples=50, deadline=None, derandomize=True)
def test_holm_rejects_what_its_procedure_walks_down_to(p_values, unseen, alpha):
    comparisons = len(p_values) + unseen
    rejected = set()
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if p_values[place] * (comparisons - rank) > alpha:
            break
        rejected.add(place)
    found = step_down(p_values, comparisons)
    assert {place for place, p in enumerate(found) if p <= alpha} == rejected
    assert min(found) == adjusted(min(p_values), comparisons)


@pytest.mark.parametrize(
    ("n", "discordant", "comparisons", "least"),
    [
        (200, 0, 1, 0.0),
        (200, 24, 1, 0.0),
        (500, 60, 12, 0.0),
        (60, 3, 5, 0.0),
        (2_000, 40, 1, 0.025),
        (900, 90, 3, 0.05),
    ],
)
def test_the_detectable_drop_is_found_four_times_in_five(n, discordant, comparisons, least):
    alpha = 0.05 / comparisons
    drop = detectable_pairs(n, discordant, alpha, least)
    rate = min(1.0, discordant / n + drop)
    pairs = np.random.default_rng(7).multinomial(n, [(rate + drop) / 2, (rate - drop) / 2, 1 - rate], size=4_000)
    seen, counted = np.unique(pairs[:, :2], axis=0, return_counts=True)
    found = sum(
        times
        for (lost, won), times in zip(seen, counted, strict=True)
        if mcnemar_p(lost, won) <= alpha and lost - won >= n * least
    )
    assert 0.77 <= found / 4_000 <= 0.86


def test_no_drop_is_detectable_below_the_fewest_pairs():
    assert detectable_pairs(4, 0, 0.05) is None
    assert detectable_pairs(5, 0, 0.05) == 1.0
    assert all(detectable_pairs(n, 0, 0.05) >= 5 / n for n in (6, 50, 5_000, 1_000_000))


def test_exact_and_approximate_power_meet():
    for least in (0.0, 0.02):
        exact, approximate = (detectable_pairs(20_000, EXACT_PAIRS + more, 0.01, least) for more in (0, 1))
        assert exact == pytest.approx(approximate, rel=0.02)


def test_a_detectable_difference_needs_spread_and_groups():
    assert detectable_difference(0.01, 10**6, 0.05) == pytest.approx(0.01 * (1.6449 + 0.8416), rel=1e-3)
    assert detectable_difference(0.01, 10**6, 0.05, least=0.05) == pytest.approx(0.05 + 0.01 * 0.8416, rel=1e-3)
    assert detectable_difference(0.0, 100, 0.05) is None
    assert detectable_difference(math.nan, 1, 0.05) is None
    assert detectable_difference(0.01, 4, 0.05) is None
    assert detectable_difference(0.01, 8, 0.001) is None


@pytest.mark.parametrize(("groups", "alpha"), [(12, 0.05), (30, 0.05), (30, 0.004), (84, 0.004), (300, 0.002)])
def test_the_detectable_difference_is_found_four_times_in_five(groups, alpha):
    random = np.random.default_rng(9)
    drop = detectable_difference(1 / math.sqrt(groups), groups, alpha)
    found = [sign_flip_p(random.normal(drop, 1, groups), alone(groups), alpha) <= alpha for _ in range(500)]
    assert 0.75 <= np.mean(found) <= 0.9


def test_a_family_of_twelve_equal_models_alarms_no_more_often_than_alpha():
    """2,000 runs of two models of the same ability: eight rates, four means, one of them in clusters."""
    runs, rates, means, n, alpha = 2_000, 8, 4, 40, 0.05
    random = np.random.default_rng(8)
    flips = random.multinomial(n, [0.1, 0.1, 0.8], size=(runs, rates))
    seen, where = np.unique(flips[..., :2].reshape(-1, 2), axis=0, return_inverse=True)
    p_of_rates = np.array([mcnemar_p(*pair) for pair in seen])[where].reshape(runs, rates)
    differences = random.standard_t(5, size=(runs, means, n))
    clustered = np.arange(n) // 2
    differences[:, 0] += random.normal(size=(runs, n // 2))[:, clustered]
    p_of_means = [
        [sign_flip_p(row, clustered if number == 0 else alone(n), alpha / 12) for number, row in enumerate(run)]
        for run in differences
    ]
    smallest = np.hstack([p_of_rates, p_of_means]).min(axis=1)
    alarms = int((np.minimum(1, smallest * (rates + means)) <= alpha).sum())
    assert binomtest(alarms, runs, alpha, alternative="greater").pvalue > 0.001
    assert alarms > 20, "a test that never alarms would pass this too"
