"""Scores held as columns are a mapping like any other."""

import pytest

from harness.records import SampleScore
from harness.scores import Scores

PLAIN = {
    "b": SampleScore((1.0,), "d2", "pair"),
    "a": SampleScore((0.5, 2.0), "d1"),
    "ä": SampleScore((), "d3"),
}


def test_scores_are_the_mapping_that_they_were_made_of():
    held = Scores(PLAIN)
    assert held == PLAIN
    assert Scores(held) == held
    assert list(held) == ["a", "b", "ä"]
    assert {name: held[name] for name in held} == PLAIN
    assert len(Scores({})) == 0
    assert "Scores({'a': SampleScore(values=(0.5, 2.0)" in repr(held)


@pytest.mark.parametrize("name", ["", "aa", "z", "~~~"])
def test_what_is_not_there_is_a_key_error(name):
    held = Scores(PLAIN)
    assert name not in held
    with pytest.raises(KeyError, match=f"'{name}'"):
        held[name]
