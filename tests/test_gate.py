"""Verdicts on hand-made measurements: each outcome with the smallest example that deserves it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.gate import MARGINS, explain, judge, judged_together, margin_for, missing, stated_margin
from harness.records import Measurement, Outcome, Reference, SampleScore


def ratio(rows):
    return float(rows[:, 0].sum() / rows[:, 1].sum())


def measured(scores, *, ids=None, aggregate=None, clusters=None, digest="d", **changes):
    """A measurement of these scores (numbers, or tuples of statistics), with ids s0000, s0001 and so on."""
    rows = [tuple(map(float, np.atleast_1d(score))) for score in scores]
    ids = ids or [f"s{number:04}" for number in range(len(rows))]
    clusters = clusters or [""] * len(rows)
    value = aggregate(np.array(rows)) if aggregate else float(np.mean([row[0] for row in rows]))
    defaults = Measurement(
        name="facts/acc",
        metric="acc",
        value=value,
        stderr=0.01,
        n=len(rows),
        signature="template:none|version:1",
        higher_is_better=True,
        scores={
            each: SampleScore(row, digest, cluster) for each, row, cluster in zip(ids, rows, clusters, strict=True)
        },
        aggregate=aggregate,
    )
    return replace(defaults, **changes)


def flips(n, right, lost, won=0):
    """Scores before and after: ``right`` of n right before, of which some are lost; others are won."""
    before = [1] * right + [0] * (n - right)
    after = [0] * lost + [1] * (right - lost) + [1] * won + [0] * (n - right - won)
    return before, after


def verdict(before, after, margin=0.02, alpha=0.05, comparisons=1, **how):
    reference = Reference("baseline main", measured(before, **how), "baselines/main/baseline.json (2026-07-01)")
    return judge(measured(after, **how), reference, margin=margin, alpha=alpha, comparisons=comparisons)


def test_lost_answers_are_a_regression_that_names_them():
    found = verdict(*flips(200, 120, lost=12, won=2))
    assert found.outcome is Outcome.REGRESSED
    assert (found.reference_value, found.value, found.drop, found.n) == (0.6, 0.55, 0.05, 200)
    assert found.lost == tuple(f"s{number:04}" for number in range(12))
    assert found.won == ("s0120", "s0121")
    assert found.low < found.drop < found.high
    assert found.p < 0.05
    assert found.detectable > 0.02


def test_won_answers_are_an_improvement():
    assert verdict(*flips(200, 120, lost=2, won=12)).outcome is Outcome.IMPROVED


def test_equal_answers_are_unchanged_where_the_samples_suffice():
    assert verdict(*flips(200, 120, lost=0)).outcome is Outcome.UNCHANGED


def test_equal_answers_of_few_samples_are_inconclusive():
    found = verdict(*flips(50, 30, lost=0))
    assert found.outcome is Outcome.INCONCLUSIVE
    assert "cannot be ruled out" in found.reason


def test_a_significant_drop_below_half_the_margin_is_no_regression():
    assert verdict(*flips(4_000, 3_000, lost=20), margin=0.02).outcome is Outcome.UNCHANGED
    assert verdict(*flips(4_000, 3_000, lost=20), margin=0.01).outcome is Outcome.REGRESSED


def test_more_comparisons_need_more_evidence():
    before, after = flips(200, 120, lost=7)
    assert verdict(before, after).outcome is Outcome.REGRESSED
    found = verdict(before, after, comparisons=30)
    assert (found.outcome, found.p) == (Outcome.INCONCLUSIVE, pytest.approx(30 * 2**-7))


def test_flips_of_one_cluster_count_as_one():
    before, after = flips(60, 40, lost=8)
    alone = verdict(before, after)
    together = verdict(before, after, clusters=["c"] * 8 + [""] * 52)
    assert (alone.outcome, together.outcome) == (Outcome.REGRESSED, Outcome.INCONCLUSIVE)


def test_equal_answers_of_few_clusters_are_inconclusive():
    before, after = flips(200, 120, lost=0)
    assert verdict(before, after, clusters=[f"c{number % 4}" for number in range(200)]).outcome is Outcome.INCONCLUSIVE


def test_a_metric_that_is_better_lower_regresses_upwards():
    before = np.random.default_rng(0).normal(1.0, 0.1, 100)
    found = verdict(before, before + 0.05, higher_is_better=False)
    assert found.outcome is Outcome.REGRESSED
    assert found.drop == pytest.approx(0.05)
    assert verdict(before, before - 0.05, higher_is_better=False).outcome is Outcome.IMPROVED


def test_a_corpus_metric_is_judged_by_its_aggregate():
    before = np.random.default_rng(1).uniform(1, 2, (80, 2))
    after = before * [0.9, 1.0]
    found = verdict(before, after, aggregate=ratio)
    assert found.outcome is Outcome.REGRESSED
    assert found.drop == pytest.approx(ratio(before) - ratio(after))
    assert found.low <= found.drop <= found.high
    assert len(found.lost) == 80
    assert verdict(after, before, aggregate=ratio).outcome is Outcome.IMPROVED
    assert verdict(before, before, aggregate=ratio, margin=0.0).outcome is Outcome.INCONCLUSIVE
    assert verdict(before, before, aggregate=ratio).outcome is Outcome.UNCHANGED


def test_a_stored_corpus_metric_needs_no_stored_aggregate():
    rows = np.random.default_rng(1).uniform(1, 2, (80, 2))
    new = measured(rows, aggregate=ratio)
    stored = Reference("baseline main", replace(new, aggregate=None))
    assert judge(new, stored, margin=0.02, alpha=0.05, comparisons=1).outcome is Outcome.UNCHANGED


def test_samples_are_joined_by_id_and_not_by_position():
    before, after = flips(200, 120, lost=12, won=2)
    order = np.random.default_rng(2).permutation(200)
    shuffled = measured([after[number] for number in order], ids=[f"s{number:04}" for number in order])
    found = judge(shuffled, Reference("", measured(before)), margin=0.02, alpha=0.05, comparisons=1)
    assert found == replace(verdict(before, after), reference="", origin="")


def test_nothing_stored_is_new_and_keeps_the_value():
    found = judge(measured([1, 0]), Reference("baseline main", None), margin=0.02, alpha=0.05, comparisons=1)
    assert (found.outcome, found.value, found.drop) == (Outcome.NEW, 0.5, None)


def not_comparable(new, old):
    found = judge(new, Reference("baseline main", old), margin=0.02, alpha=0.05, comparisons=1)
    assert found.outcome is Outcome.NOT_COMPARABLE
    return found.reason


def test_another_signature_is_not_comparable_and_shows_the_fields_that_differ():
    reason = not_comparable(
        measured([1, 0], signature="template:chatml|version:1|case:mixed"),
        measured([1, 0], signature="template:none|version:1"),
    )
    assert reason == "the signature differs: case (none) -> mixed, template none -> chatml"


def test_what_is_known_behind_a_field_is_said_where_that_field_differs():
    new, old = measured([1, 0], signature="template:ab|version:1"), measured([1, 0])
    known = {"template": "the conversation 'user', token 0: no token -> '<s>' (id 1)", "version": "not said"}
    reference = Reference("base model", old, differences=known)
    found = judge(new, reference, margin=0.02, alpha=0.05, comparisons=1)
    assert found.reason == (
        "the signature differs: template none -> ab (the conversation 'user', token 0: no token -> '<s>' (id 1))"
    )


def test_another_direction_is_not_comparable():
    assert "better higher -> lower" in not_comparable(measured([1, 0], higher_is_better=False), measured([1, 0]))


def test_other_content_under_one_id_is_not_comparable():
    reason = not_comparable(measured([1, 0, 1, 0, 1], digest="new"), measured([1, 0, 1, 0, 1], digest="old"))
    assert reason == "5 of 5 samples have other content under the same id: s0000, s0001, s0002 and 2 more"


def test_other_samples_are_not_comparable_unless_the_set_is_limited():
    all_of_them, some = measured([1, 0] * 100), measured([1, 0] * 80)
    assert not_comparable(some, all_of_them).startswith(
        "40 samples are not in this run: s0160, s0161, s0162 and 37 more"
    )
    assert "not in the reference" in not_comparable(all_of_them, some)
    limited = replace(some, limited=True)
    found = judge(limited, Reference("baseline main", all_of_them), margin=0.02, alpha=0.05, comparisons=1)
    assert (found.outcome, found.n) == (Outcome.UNCHANGED, 160)


def test_limited_values_are_those_of_the_common_samples():
    old, new = measured([1] * 50 + [0] * 150, limited=True), measured([1] * 40 + [0] * 10)
    found = judge(new, Reference("baseline main", old), margin=0.02, alpha=0.05, comparisons=1)
    assert (found.reference_value, found.value, found.n) == (1.0, 0.8, 50)
    assert "2 are needed" in not_comparable(measured([1], limited=True), old)


def test_a_reference_whose_value_its_scores_do_not_give_is_not_comparable():
    assert "the value is 0.9, but its scores give 0.5" in not_comparable(measured([1, 0]), measured([1, 0], value=0.9))


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (measured([1, 0], problems=("3 answers are empty",)), "3 answers are empty"),
        (measured([0.5, float("nan")], value=0.5), "score of s0001 is not a finite number"),
        (replace(measured([1, 0]), scores={}), "no sample"),
        (measured([(1, 2), (3, 4)]), "no aggregate"),
        (replace(measured([1, 0]), scores={"a": SampleScore((1.0,), "d"), "b": SampleScore((1.0, 2.0), "d")}), "1, 2"),
        (measured([1, 0], value=0.7), "its scores give 0.5"),
    ],
)
def test_a_broken_run_is_invalid_and_says_why(broken, said):
    sound = Reference("baseline main", measured([1, 0]))
    found = judge(broken, sound, margin=0.02, alpha=0.05, comparisons=1)
    assert found.outcome is Outcome.INVALID
    assert said in found.reason


def test_a_broken_base_model_run_is_invalid_too():
    broken = Reference("base model", measured([1, 0], problems=("3 answers are empty",)))
    found = judge(measured([1, 0]), broken, margin=0.02, alpha=0.05, comparisons=1)
    assert (found.outcome, found.reason) == (Outcome.INVALID, "in base model, 3 answers are empty")


def test_a_reference_at_chance_is_not_informative():
    before, after = flips(200, 52, lost=2)
    assert verdict(before, after, chance=0.25).outcome is Outcome.NOT_INFORMATIVE
    assert verdict(before, after).outcome is Outcome.INCONCLUSIVE
    assert verdict(*flips(200, 120, lost=0), chance=0.25).outcome is Outcome.UNCHANGED


def test_a_reference_with_too_little_to_lose_is_not_informative():
    assert verdict(*flips(400, 3, lost=3), chance=0.0, margin=0.02).outcome is Outcome.NOT_INFORMATIVE


def test_a_model_that_rises_from_nothing_has_improved():
    assert verdict(*flips(100, 0, lost=0, won=60), chance=0.0).outcome is Outcome.IMPROVED


def test_one_sample_is_inconclusive():
    assert verdict([0.3], [0.1]).outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize("numbers", [{"alpha": 0.0}, {"alpha": 0.5}, {"margin": -1}, {"comparisons": 0}])
def test_numbers_that_make_no_test_are_refused(numbers):
    with pytest.raises(UsageError):
        verdict([1, 0], [1, 0], **numbers)


paired_scores = st.one_of(
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=2, max_size=60),
    st.lists(st.tuples(*[st.integers(0, 16).map(lambda x: x / 16)] * 2), min_size=2, max_size=30),
)


@given(pairs=paired_scores, corpus=st.booleans())
@settings(max_examples=40, deadline=None)
def test_what_regresses_one_way_improves_the_other(pairs, corpus):
    before, after = zip(*pairs, strict=True)
    how = {"margin": 0.1}
    if corpus:
        before, after = ([(score, 1.0) for score in side] for side in (before, after))
        how["aggregate"] = ratio
    there, back = verdict(before, after, **how), verdict(after, before, **how)
    assert there.drop == pytest.approx(-back.drop)
    assert there.p == pytest.approx(back.p)
    assert (there.outcome is Outcome.REGRESSED) == (back.outcome is Outcome.IMPROVED)


@given(scores=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40), higher=st.booleans())
@settings(max_examples=40, deadline=None)
def test_equal_scores_never_regress(scores, higher):
    found = verdict(scores, scores, margin=0.0, higher_is_better=higher)
    assert found.drop == 0
    assert found.outcome in {Outcome.INCONCLUSIVE, Outcome.UNCHANGED}


def test_what_is_stored_but_not_measured_is_missing():
    stored = [measured([1, 0], name=name) for name in ("a/acc", "b/acc")]
    found = missing(stored, {"a/acc"}, label="baseline main", origin="here")
    assert [(each.measurement, each.outcome, each.reference_value) for each in found] == [
        ("b/acc", Outcome.MISSING, 0.5)
    ]


def test_a_failure_is_explained_in_four_parts():
    text = explain(verdict(*flips(200, 120, lost=12, won=2)), "pytest suites --baseline-update")
    first, *others = text.splitlines()
    assert first.startswith("facts acc regressed: 0.600 -> 0.550 (drop 0.050, margin 0.020; one-sided bounds 0.0")
    assert others == [
        "  baseline  baselines/main/baseline.json (2026-07-01)",
        "  flipped   s0000, s0001, s0002 and 9 more",
        "  accept    pytest suites --baseline-update",
    ]


def test_a_failure_without_numbers_is_explained_by_its_reason():
    new = measured([1, 0], signature="version:2")
    found = judge(new, Reference("base model", measured([1, 0]), "demo:base"), margin=0.02, alpha=0.05, comparisons=1)
    assert explain(found, "").splitlines() == [
        "facts acc not comparable: the signature differs: template none -> (none), version 1 -> 2",
        "  against   base model demo:base",
    ]


def test_an_unknown_metric_has_no_margin_and_the_nearest_is_named():
    assert margin_for("acc") == MARGINS["acc"]
    with pytest.raises(UsageError, match=r"'acc_nrom'.*did you mean acc_norm"):
        margin_for("acc_nrom")
    for own in ("my_bleu", "politeness"):  # near a known name, and near none
        with pytest.raises(UsageError, match=r"gate\(\.\.\., margin=0\.02\)"):
            margin_for(own)


def test_once_the_run_is_known_a_second_regression_speaks_up():
    clear, close = flips(200, 120, lost=20), flips(200, 120, lost=9, won=1)
    verdicts = [verdict(*scores, comparisons=5) for scores in (close, clear, clear, clear)]
    assert [each.outcome for each in verdicts] == [Outcome.INCONCLUSIVE, *[Outcome.REGRESSED] * 3]
    together = judged_together(verdicts, alpha=0.05, comparisons=5)
    assert together[0].outcome is Outcome.REGRESSED
    assert (together[0].p, verdicts[0].p) == pytest.approx((2 * 11 / 1024, 5 * 11 / 1024))
    assert together[0].reason.endswith("now that the whole run is known")
    assert all(each.p <= before.p for each, before in zip(together, verdicts, strict=True))


def test_a_run_without_a_regression_has_none_when_judged_together():
    verdicts = [verdict(*flips(200, 120, lost=9, won=1), comparisons=5), verdict(*flips(200, 50, 0, 60), comparisons=5)]
    assert judged_together(verdicts, alpha=0.05, comparisons=5)[0].outcome is Outcome.INCONCLUSIVE


def test_verdicts_without_numbers_stay_as_they_are():
    new = judge(measured([1, 0]), Reference("baseline main", None), margin=0.02, alpha=0.05, comparisons=3)
    assert judged_together([new], alpha=0.05, comparisons=3) == [new]


def test_the_narrowest_margin_that_the_user_states_counts():
    margins = {"acc": 0.1, "forgetting/acc": 0.2, "arc_easy/acc": 0.3}
    assert stated_margin(margins, "arc_easy/acc", "forgetting") == 0.3
    assert stated_margin(margins, "piqa/acc", "forgetting") == 0.2
    assert stated_margin(margins, "piqa/acc", "quality") == 0.1
    assert stated_margin(margins, "piqa/acc_norm", "forgetting") is None


def test_the_same_model_that_moved_nothing_is_unchanged_at_any_size():
    scores = measured([1, 0, 1])
    how = {"margin": 0.02, "alpha": 0.05, "comparisons": 1}
    found = judge(scores, Reference("baseline main", scores, same_model=True), **how)
    assert (found.outcome, found.low, found.high) == (Outcome.UNCHANGED, 0.0, 0.0)
    assert judge(scores, Reference("baseline main", scores), **how).outcome is Outcome.INCONCLUSIVE
    other = judge(measured([1, 1, 0]), Reference("baseline main", scores, same_model=True), **how)
    assert other.outcome is Outcome.INCONCLUSIVE


def test_graded_answers_of_which_few_move_leave_room_for_more():
    before = np.full(50, 0.8)
    assert verdict(before, before, chance=0.0).outcome is Outcome.INCONCLUSIVE
    after = before.copy()
    after[0] = 0.2
    found = verdict(before, after, chance=0.0)
    assert found.outcome is Outcome.INCONCLUSIVE
    assert found.high > 0.05
