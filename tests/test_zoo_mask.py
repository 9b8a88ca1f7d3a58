"""The zoo's faults of masks: each is caught by a case that it names, and its legitimate twin raises no alarm."""

import pytest

from harness.zoo import (
    mask_borders,
    mask_collators,
    mask_lengths,
    mask_loss,
    mask_markers,
    mask_packing,
    mask_pieces,
    mask_turns,
)
from harness.zoo.examine import examine

FAULTS = [
    fault
    for exhibits in (
        mask_borders,
        mask_collators,
        mask_lengths,
        mask_loss,
        mask_markers,
        mask_packing,
        mask_pieces,
        mask_turns,
    )
    for fault in exhibits.FAULTS
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_the_fault_is_caught_by_a_case_that_it_names(fault):
    found = examine(fault.inject())
    assert set(found) & set(fault.caught_by), f"{fault.name}: only {sorted(found) or 'silence'}"


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
def test_its_legitimate_twin_raises_no_alarm(fault):
    assert {case: str(findings[0]) for case, findings in examine(fault.twin()).items()} == {}


def test_every_exhibit_has_an_id_and_a_name_of_its_own():
    assert len({fault.id for fault in FAULTS}) == len({fault.name for fault in FAULTS}) == len(FAULTS) == 29
