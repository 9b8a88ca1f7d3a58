"""The zoo as a whole: what stands in it, how it is walked, and what its command prints and writes."""

import json

import pytest

import harness.calibration.checks
import harness.dataset.checks
import harness.handover.checks
import harness.loop.checks
from harness.__main__ import main
from harness.inspection import checks
from harness.records import Finding
from harness.zoo import catalogue
from harness.zoo.examine import REFUSED
from harness.zoo.exhibit import Fault, Setup, Trap
from harness.zoo.results import outcome, summary, to_markdown
from harness.zoo.visit import visit

FINDING = Finding("something is wrong", "here", "that", "this", "do so")
MODULES = (checks, harness.calibration.checks, harness.loop.checks, harness.handover.checks, harness.dataset.checks)
CASES = {name for each in MODULES for table in vars(each).values() if isinstance(table, dict) for name in table}


def setup_with(found):
    return lambda: Setup(more={"mask/a_case": lambda: [FINDING] * found})


def fault(found, in_twin=None, caught_by=("mask/a_case",)):
    twin = None if in_twin is None else setup_with(in_twin)
    return Fault("mask-99", "a fault", "somebody/something#1", setup_with(found), caught_by, twin)


@pytest.mark.parametrize(
    ("exhibit", "says", "sound"),
    [
        (fault(1), "caught", True),
        (fault(1, in_twin=0), "caught", True),
        (fault(0), "missed", False),
        (fault(1, caught_by=("mask/another",)), "missed", False),
        (fault(1, in_twin=1), "false alarm: mask/a_case", False),
        (Trap("ok-99", "a trap", setup_with(0)), "silent, as it should", True),
        (Trap("ok-99", "a trap", setup_with(1)), "false alarm: mask/a_case", False),
        (Trap("ok-99", "a trap", lambda: 1 / 0), "broken: ZeroDivisionError: division by zero", False),
    ],
)
def test_what_becomes_of_an_exhibit(exhibit, says, sound):
    seen = visit(exhibit)
    assert (outcome(seen), seen.sound) == (says, sound)
    assert says in to_markdown([seen], {}) or says == "caught"


def test_the_counts_of_a_walk():
    walked = [visit(each) for each in (fault(1, in_twin=0), fault(0), Trap("ok-99", "a trap", setup_with(1)))]
    counted = summary(walked)
    assert (counted["faults"], counted["caught"], counted["missed"]) == (2, 1, 1)
    assert (counted["twins"], counted["traps"], counted["false_alarms"], counted["broken"]) == (1, 1, 1, 0)


def test_ids_are_their_own_and_every_fault_has_a_source_and_known_cases():
    faults = catalogue.faults()
    ids = [each.id for each in (*faults, *catalogue.traps())]
    assert len(ids) == len(set(ids))
    for each in faults:
        assert each.source, each.id
        assert each.id not in catalogue.LEFT_OUT
        assert each.caught_by, each.id
        beside = {name for name in each.caught_by if name not in CASES and name != REFUSED}
        assert not beside or each.inject().more.keys() >= beside, (each.id, beside)


def test_the_command_looks_at_a_part_and_prints_json(capsys, tmp_path):
    assert main(["zoo", "template-01", "--json", "--markdown", str(tmp_path / "zoo.md")]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["summary"]["caught"] == printed["summary"]["faults"] == 1
    assert printed["exhibits"][0]["id"] == "template-01"
    assert "| template-01 |" in (tmp_path / "zoo.md").read_text(encoding="utf-8")


def test_the_command_says_what_it_does_not_know(capsys):
    assert main(["zoo", "nothing-01"]) == 2
    assert "no exhibit's id begins with 'nothing-01'" in capsys.readouterr().err
