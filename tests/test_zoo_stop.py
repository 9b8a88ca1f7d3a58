"""The zoo's faults of stopping: each is caught by a case that it names, and its legitimate twin raises no alarm."""

import pytest

from harness.zoo import stop_answers, stop_settings, stop_training
from harness.zoo.examine import examine

FAULTS = [fault for module in (stop_answers, stop_settings, stop_training) for fault in module.FAULTS]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_the_fault_is_caught_by_a_case_that_it_names(fault):
    found = examine(fault.inject())
    assert set(fault.caught_by) & set(found), {name: str(findings[0]) for name, findings in found.items()}


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault.twin is not None], ids=lambda fault: fault.id)
def test_the_twin_raises_no_alarm(fault):
    found = examine(fault.twin())
    assert not found, {name: str(findings[0]) for name, findings in found.items()}
