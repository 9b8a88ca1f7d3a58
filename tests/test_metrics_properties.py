"""What must hold for every text metric on any text: drawn by hypothesis, the same draws each time."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sacrebleu
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from harness.metrics.diversity import REPETITION, distinct_of
from harness.metrics.soundness import SCRIPTS
from harness.metrics.text_scores import BLEU, CHRF, EXACT_MATCH, ROUGE, TER, TextRule
from harness.metrics.token_scores import LENGTH_ERROR, TOKEN_F1

RULES = (BLEU, CHRF, TER, *ROUGE, TOKEN_F1, EXACT_MATCH, LENGTH_ERROR)
HIGHEST = {"bleu": 100.0, "chrf": 100.0, "ter": math.inf}

WORDS = {name: text.split() if " " in text else list(text) for name, text in SCRIPTS.items()}
WORDS["mixed"] = [word for words in WORDS.values() for word in words[:4]]


def texts(script: str, least: int = 1) -> st.SearchStrategy[str]:
    """Words of a script (characters, where it has no spaces) in any order and number."""
    joint = "" if script in ("Chinese", "Japanese", "Thai") else " "
    return st.lists(st.sampled_from(WORDS[script]), min_size=least, max_size=7).map(joint.join)


@st.composite
def rows(draw: st.DrawFn) -> list[tuple[str, list[str]]]:
    """Answers with one to three references each, every row in a script of its own."""
    found = []
    for _ in range(draw(st.integers(1, 4))):
        script = draw(st.sampled_from(sorted(WORDS)))
        found.append((draw(texts(script)), draw(st.lists(texts(script), min_size=1, max_size=3))))
    return found


few = settings(derandomize=True, max_examples=12, deadline=None, database=None)
each_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)


def value(rule: TextRule, of: list[tuple[str, list[str]]]) -> float:
    return rule.of([answer for answer, _ in of], [references for _, references in of])


@each_rule
@pytest.mark.parametrize("script", sorted(WORDS))
def test_a_text_is_perfect_beside_itself(rule: TextRule, script: str) -> None:
    @few
    @given(
        st.lists(
            texts(script, least=4).filter(lambda text: any(map(str.isalpha, text)) or script == "emoji"),
            min_size=1,
            max_size=3,
        )
    )
    def holds(said: list[str]) -> None:
        assert rule.of(said, [[text] for text in said]) == pytest.approx(rule.best, abs=1e-9)

    holds()


@each_rule
def test_the_order_of_samples_and_of_references_changes_nothing(rule: TextRule) -> None:
    @few
    @given(rows(), st.randoms(use_true_random=False))
    def holds(drawn: list[tuple[str, list[str]]], random: object) -> None:
        other = [(answer, random.sample(references, len(references))) for answer, references in drawn]  # type: ignore[attr-defined]
        assume(rule is not CHRF or not any(tied(*row) for row in drawn))
        random.shuffle(other)  # type: ignore[attr-defined]
        assert value(rule, other) == pytest.approx(value(rule, drawn), rel=1e-12, abs=1e-12)

    holds()


def tied(answer: str, references: list[str]) -> bool:
    """Whether sacrebleu's chrF, which takes the first of the best references, is left to choose by their order."""
    alone = [CHRF.of([answer], [[reference]]) for reference in set(references)]
    return len(set(alone)) < len(alone)


def test_of_references_that_are_equally_near_chrf_takes_the_first_as_sacrebleu_does() -> None:
    """The only order that counts; the digest of a sample holds it."""
    rows = [("qqq", ["xyz", "xyz and more"]), ("a dog", ["a dog"])]
    streams = [["xyz", "a dog"], ["xyz and more", None]]
    theirs = sacrebleu.corpus_chrf([answer for answer, _ in rows], streams).score
    assert value(CHRF, rows) == theirs != value(CHRF, [("qqq", ["xyz and more", "xyz"]), rows[1]])


@each_rule
def test_the_statistics_of_two_parts_add_up_to_those_of_the_whole(rule: TextRule) -> None:
    @few
    @given(rows(), st.integers(0, 3))
    def holds(drawn: list[tuple[str, list[str]]], at: int) -> None:
        scores = np.array([rule.score(*row) for row in drawn])
        parts = [part.sum(axis=0) for part in (scores[:at], scores[at:])]
        if rule.aggregate is None:
            assert value(rule, drawn) == pytest.approx(float(sum(parts)[0] / len(drawn)))
        else:
            assert value(rule, drawn) == pytest.approx(rule.aggregate(np.array(parts)), rel=1e-12, abs=1e-12)

    holds()


@each_rule
def test_a_value_stays_in_its_range(rule: TextRule) -> None:
    @few
    @given(rows())
    def holds(drawn: list[tuple[str, list[str]]]) -> None:
        assert -1e-9 <= value(rule, drawn) <= HIGHEST.get(rule.name, 1.0) + 1e-9

    holds()


@each_rule
def test_a_further_reference_that_is_the_answer_makes_it_perfect(rule: TextRule) -> None:
    @few
    @given(texts("English", least=4), texts("English"))
    def holds(answer: str, other: str) -> None:
        found = rule.of([answer], [[other, answer]])
        # sacrebleu takes the mean length of the references for TER; without edits that makes no difference.
        assert found == pytest.approx(rule.best, abs=1e-9)

    holds()


@few
@given(st.lists(texts("mixed"), min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_variety_does_not_depend_on_the_order_of_answers_and_stays_in_its_range(
    said: list[str], random: object
) -> None:
    other = random.sample(said, len(said))  # type: ignore[attr-defined]
    for n in (1, 2):
        assert 0 <= distinct_of(said, n) <= 1
        assert distinct_of(other, n) == pytest.approx(distinct_of(said, n), rel=1e-12)
    none: list[list[str]] = [[] for _ in said]
    assert 0 <= REPETITION.of(said, none) < 1
    assert REPETITION.of(other, none) == pytest.approx(REPETITION.of(said, none))


@few
@given(st.lists(texts("English"), min_size=1, max_size=4))
def test_saying_everything_twice_halves_distinct_words(said: list[str]) -> None:
    assert distinct_of(said * 2, 1) == pytest.approx(distinct_of(said, 1) / 2)
