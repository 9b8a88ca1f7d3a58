"""The zoo's faults of templates: each is caught by a case that it names, and its legitimate twin raises no alarm."""

import pytest

from harness.zoo.catalogue import faults
from harness.zoo.examine import examine

FAULTS = [fault for fault in faults() if fault.id.startswith("template-")]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_the_fault_is_caught_by_a_case_that_it_names(fault):
    found = examine(fault.inject())
    assert set(found) & set(fault.caught_by), f"{fault.name}: only {sorted(found) or 'silence'}"


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_its_legitimate_twin_raises_no_alarm(fault):
    assert {case: str(findings[0]) for case, findings in examine(fault.twin()).items()} == {}


def test_every_exhibit_has_an_id_of_its_own_and_a_public_source():
    assert len({fault.id for fault in FAULTS}) == len(FAULTS) == 29
    assert all("#" in fault.source and "/" in fault.source for fault in FAULTS)
