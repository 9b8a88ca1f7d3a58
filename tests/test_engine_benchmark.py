"""The arithmetic of the benchmarks: what the ceiling counts, the items, the page that is written part by part."""

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

import items
from ceiling import best_ceiling, unique_tokens
from showing import put_section
from timing import Part

rows = st.lists(st.lists(st.integers(0, 3), max_size=6), max_size=12)


@given(rows)
def test_unique_tokens_are_the_distinct_openings_of_the_rows(rows):
    openings = {tuple(row[:end]) for row in rows for end in range(1, len(row) + 1)}
    assert unique_tokens(rows) == len(openings)


def test_the_harness_is_as_fast_as_the_median_of_the_rounds_says():
    part = Part("", {"harness": (1.0, 2.0, 4.0), "peer": (3.0, 4.0, 40.0)}, "")
    assert part.ratio("peer") == 3.0


def test_only_the_quickest_ceiling_is_shown():
    times = {
        "harness": (5.0, 5.0),
        "ceiling: bare forward, 4 x 8": (2.0, 4.0),
        "ceiling: bare forward, 2 x 8": (1.0, 9.0),
    }
    assert list(best_ceiling(times)) == ["harness", "ceiling: bare forward, 4 x 8"]


@pytest.mark.parametrize("made", [items.zero_shot, items.five_shot, items.passages])
def test_a_question_has_four_different_choices_and_is_the_same_every_time(made):
    questions = made(40)
    assert questions == made(40)
    assert all(len(set(question.choices)) == 4 for question in questions)
    assert {question.target for question in questions} == {0, 1, 2, 3}


def test_the_shots_are_shared_and_so_is_a_passage():
    shots = {question.prompt.rsplit("\n\n", 1)[0] for question in items.five_shot(20)}
    assert len(shots) == 1
    assert shots.pop().count("Answer: ") == items.SHOTS
    stories = [question.prompt.split("\nQuestion:")[0] for question in items.passages(12)]
    assert len(set(stories)) == 2
    assert stories[: items.QUESTIONS_A_PASSAGE] == stories[:1] * items.QUESTIONS_A_PASSAGE


def test_the_right_choice_is_what_the_story_says():
    for question in items.passages(24):
        words = question.choices[question.target].split()
        assert all(word in question.prompt.lower() for word in words)


def test_a_section_takes_the_place_of_its_older_one(tmp_path):
    page = tmp_path / "page.md"
    for body in ("b\n\nfirst", "a\n\nother", "b\n\nsecond"):
        put_section(page, "# Title\n", body)
    assert page.read_text(encoding="utf-8") == "# Title\n\n## a\n\nother\n\n## b\n\nsecond\n"
