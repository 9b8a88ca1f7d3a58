"""The zoo's traps: legitimate set-ups, at which every case is silent."""

import pytest

from harness.zoo import catalogue
from harness.zoo.examine import examine
from harness.zoo.traps_verdicts import alarms, measured


@pytest.mark.parametrize("trap", catalogue.traps(), ids=lambda trap: trap.id)
def test_no_case_goes_red(trap):
    found = examine(trap.build())
    assert not found, {name: str(findings[0]) for name, findings in found.items()}


def scores(n, right, lost, won):
    before = [1.0] * right + [0.0] * (n - right)
    after = [0.0] * lost + [1.0] * (right - lost) + [1.0] * won + [0.0] * (n - right - won)
    return measured(after), measured(before)


@pytest.mark.parametrize(
    ("counts", "how"),
    [
        ((2000, 1200, 200, 120), {}),
        ((400, 240, 24, 12), {"comparisons": 1}),
        ((1000, 600, 45, 10), {"margin": 0.02}),
        ((1000, 600, 110, 15), {"margin": 0.1}),
    ],
    ids=["more questions", "one comparison", "no margin declared", "an adapter's margin"],
)
def test_the_same_drop_alarms_where_nothing_excuses_it(counts, how):
    assert alarms(*scores(*counts), **how)
