"""The zoo's faults: each is caught by a case that it names, and its legitimate twin raises no alarm."""

import pytest

from harness.zoo.catalogue import faults
from harness.zoo.examine import examine

FAULTS = faults()


def of_area(area):
    return [fault for fault in FAULTS if fault.id.startswith(f"{area}-")]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_the_fault_is_caught_by_a_case_that_it_names(fault):
    found = examine(fault.inject())
    said = {name: str(findings[0]) for name, findings in found.items()}
    assert set(found) & set(fault.caught_by), f"{fault.name}: only {said or 'silence'}"


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_its_legitimate_twin_raises_no_alarm(fault):
    assert {case: str(findings[0]) for case, findings in examine(fault.twin()).items()} == {}


@pytest.mark.parametrize("area", ["template", "mask"])
def test_every_exhibit_has_an_id_of_its_own(area):
    assert len({fault.id for fault in of_area(area)}) == len(of_area(area)) == 29


def test_faults_of_masks_have_names_of_their_own():
    assert len({fault.name for fault in of_area("mask")}) == len(of_area("mask"))


def test_faults_of_templates_have_a_public_source():
    assert all("#" in fault.source and "/" in fault.source for fault in of_area("template"))
