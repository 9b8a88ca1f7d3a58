"""Hand-over: is the merged, saved, exported model still the model that was trained?"""

import pytest

pytestmark = pytest.mark.handover


def test_files_are_complete(delivery, no_findings, note):
    from harness.handover import model_files

    no_findings(model_files.files_are_complete(delivery, note))


def test_every_tensor_is_where_the_index_says(delivery, no_findings, note):
    from harness.handover import places

    no_findings(places.every_tensor_is_where_the_index_says(delivery, note))


def test_every_weight_has_its_place(whole_delivery, no_findings, note):
    from harness.handover import places

    no_findings(places.every_weight_has_its_place(whole_delivery, note))


def test_the_files_hold_numbers(delivery, no_findings, note):
    from harness.handover import adapter_files

    no_findings(adapter_files.the_files_hold_numbers(delivery, note))


def test_tied_heads_agree_with_the_config(whole_delivery, no_findings, note):
    from harness.handover import model_files

    no_findings(model_files.tied_heads_agree_with_the_config(whole_delivery, note))


def test_control_tokens_can_be_told_apart(whole_delivery, no_findings, note):
    from harness.handover import model_files

    no_findings(model_files.control_tokens_can_be_told_apart(whole_delivery, note))


def test_the_chat_is_that_of_the_original(delivery_with_original, no_findings, note):
    from harness.handover import served_chat

    no_findings(served_chat.the_chat_is_that_of_the_original(delivery_with_original, note))


def test_every_adapter_tensor_has_its_place(adapter_delivery, no_findings, note):
    from harness.handover import adapter_files

    no_findings(adapter_files.every_adapter_tensor_has_its_place(adapter_delivery, note))


def test_every_target_is_adapted(adapter_delivery, no_findings, note):
    from harness.handover import adapter_files

    no_findings(adapter_files.every_target_is_adapted(adapter_delivery, note))


def test_scaling_is_what_was_trained(adapter_delivery, no_findings, note):
    from harness.handover import adapter_origin

    no_findings(adapter_origin.scaling_is_what_was_trained(adapter_delivery, note))


def test_the_base_is_the_one_trained_on(adapter_delivery, no_findings, note):
    from harness.handover import adapter_origin

    no_findings(adapter_origin.the_base_is_the_one_trained_on(adapter_delivery, note))


@pytest.mark.weights
def test_the_model_equals_what_it_was_made_from(delivery_with_original, no_findings, note):
    from harness.handover import equality

    no_findings(equality.the_model_equals_what_it_was_made_from(delivery_with_original, note))


@pytest.mark.weights
def test_the_adapter_changes_something(adapter_delivery, no_findings, note):
    from harness.handover import adapter

    no_findings(adapter.the_adapter_changes_something(adapter_delivery, note))


@pytest.mark.weights
def test_the_base_without_its_adapter_is_the_base(adapter_delivery, no_findings, note):
    from harness.handover import adapter

    no_findings(adapter.the_base_without_its_adapter_is_the_base(adapter_delivery, note))


@pytest.mark.usefixtures("adapter_delivery")
def test_the_adapter_leaves_its_base_untouched(model, base_model, no_findings):
    from harness.handover import untouched

    if base_model is None:
        pytest.skip("no base model is known that the adapter could have changed: name it with --base-model")
    no_findings(untouched.the_adapter_leaves_its_base_untouched(model, base_model))


@pytest.mark.weights
def test_padding_does_not_change_the_model(adapter_delivery, no_findings, note):
    from harness.handover import adapter

    no_findings(adapter.padding_does_not_change_the_model(adapter_delivery, note))


@pytest.mark.weights
def test_merging_keeps_the_model(adapter_delivery, no_findings, note):
    from harness.handover import adapter

    no_findings(adapter.merging_keeps_the_model(adapter_delivery, note))


@pytest.mark.weights
def test_a_fresh_process_loads_the_same_model(adapter_delivery, no_findings, note):
    from harness.handover import adapter

    no_findings(adapter.a_fresh_process_loads_the_same_model(adapter_delivery, note))
