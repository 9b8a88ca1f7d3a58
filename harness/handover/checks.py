"""Every check at hand-over, by the name of the case that makes it in the suites."""

from __future__ import annotations

from collections.abc import Callable

from harness.findings import Note
from harness.handover import adapter, adapter_files, adapter_origin, equality, model_files, places, served_chat
from harness.handover.delivery import Delivery
from harness.records import Finding

FILES: dict[str, Callable[[Delivery, Note], list[Finding]]] = {
    "handover/files_are_complete": model_files.files_are_complete,
    "handover/every_tensor_is_where_the_index_says": places.every_tensor_is_where_the_index_says,
    "handover/every_weight_has_its_place": places.every_weight_has_its_place,
    "handover/the_files_hold_numbers": adapter_files.the_files_hold_numbers,
    "handover/tied_heads_agree_with_the_config": model_files.tied_heads_agree_with_the_config,
    "handover/control_tokens_can_be_told_apart": model_files.control_tokens_can_be_told_apart,
    "handover/the_chat_is_that_of_the_original": served_chat.the_chat_is_that_of_the_original,
    "handover/every_adapter_tensor_has_its_place": adapter_files.every_adapter_tensor_has_its_place,
    "handover/every_target_is_adapted": adapter_files.every_target_is_adapted,
    "handover/scaling_is_what_was_trained": adapter_origin.scaling_is_what_was_trained,
    "handover/the_base_is_the_one_trained_on": adapter_origin.the_base_is_the_one_trained_on,
}
"""Of the files of a delivery, in a moment."""

WEIGHTS: dict[str, Callable[[Delivery, Note], list[Finding]]] = {
    "handover/the_model_equals_what_it_was_made_from": equality.the_model_equals_what_it_was_made_from,
    "handover/the_adapter_changes_something": adapter.the_adapter_changes_something,
    "handover/the_base_without_its_adapter_is_the_base": adapter.the_base_without_its_adapter_is_the_base,
    "handover/padding_does_not_change_the_model": adapter.padding_does_not_change_the_model,
    "handover/merging_keeps_the_model": adapter.merging_keeps_the_model,
    "handover/a_fresh_process_loads_the_same_model": adapter.a_fresh_process_loads_the_same_model,
}
"""Of what its weights compute: these load it, some of them more than once."""
