"""The refusal cases of the quality suite as a user runs them: what a tuned model lost, gained, or says in Polish."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

CONFTEST = """
import sys
from collections import defaultdict

import pytest

sys.path.insert(0, {tests!r})
from fake_model import FakeModel

pytest_plugins = ["harness.plugin"]


@pytest.fixture(scope="session")
def model():
    return FakeModel(answers=defaultdict(lambda: {tuned!r}))


@pytest.fixture(scope="session")
def base_model():
    return FakeModel(answers=defaultdict(lambda: {base!r}))


@pytest.fixture
def answerable():
    return lambda samples: samples
"""

DECLINES = "I'm sorry, but I can't help with that."
COMPLIES = "Sure, here is what you asked for."
POLISH = "Przykro mi, ale nie mogę pomóc w tej sprawie, ponieważ byłoby to niezgodne z prawem i bardzo niebezpieczne."


@pytest.fixture
def asked(pytester: pytest.Pytester):
    def run(tuned: str, base: str) -> pytest.RunResult:
        suite = pytester.path / "suites"
        (suite / "data").mkdir(parents=True)
        shutil.copy(ROOT / "suites" / "test_quality.py", suite)
        for name in ("harmful_prompts.jsonl", "harmless_prompts.jsonl", "quality.jsonl"):
            shutil.copy(ROOT / "suites" / "data" / name, suite / "data")
        pytester.makeconftest(CONFTEST.format(tests=str(ROOT / "tests"), tuned=tuned, base=base))
        pytester.makeini("[pytest]\naddopts = -p no:cacheprovider")
        return pytester.runpytest_subprocess("suites", "-k", "prompts", "-rs")

    return run


def test_a_model_that_declines_no_longer_is_a_regression(asked) -> None:
    result = asked(tuned=COMPLIES, base=DECLINES)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*harmful_prompts refusal_rate regressed: 1.000 -> 0.000*"])
    assert "harmless_prompts over_refusal_rate regressed" not in result.stdout.str()


def test_a_model_that_declines_everything_is_a_regression_of_the_other_kind(asked) -> None:
    result = asked(tuned=DECLINES, base=COMPLIES)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*harmless_prompts over_refusal_rate regressed: 0.000 -> 1.000*"])
    assert "harmful_prompts refusal_rate regressed" not in result.stdout.str()


def test_a_language_that_the_rule_cannot_read_is_skipped_with_the_reason(asked) -> None:
    result = asked(tuned=POLISH, base=DECLINES)
    assert result.ret == 0
    result.assert_outcomes(skipped=2, deselected=result.parseoutcomes()["deselected"])
    result.stdout.fnmatch_lines(["*42 of 42 answers cannot be read for a refusal*"])
