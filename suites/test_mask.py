"""Mask correctness: of the batches that reach the loss, is exactly what the assistant says supervised?"""

import pytest

from harness.inspection import batches, collation, mask, matching, sources

pytestmark = [pytest.mark.mask, pytest.mark.preflight]

ROWS = 64  # rows that are inspected, from the first on


@pytest.fixture(scope="module")
def as_trained(trainer, training_rows):
    return matching.inspect_batches(trainer, training_rows, limit=ROWS)


@pytest.fixture(scope="module")
def some_rows(training_rows):
    if training_rows is None:
        pytest.skip("the rows behind --trainer are not known; give them with --train-data")
    return training_rows[:ROWS]


@pytest.fixture(scope="module")
def longest(as_trained):
    return max(len(match.segment.ids) for match in as_trained.matches)


@pytest.fixture(scope="module")
def cut_short(tokenizer, some_rows, longest):
    from harness.inspection.stand_in import stand_in_trainer

    return matching.inspect_batches(stand_in_trainer(tokenizer, some_rows, max_length=longest - 1), some_rows)


@pytest.fixture(scope="module")
def packing_trainer(tokenizer, some_rows, longest):
    from harness.inspection.stand_in import stand_in_trainer

    return stand_in_trainer(tokenizer, some_rows, packing=True, max_length=2 * longest)


@pytest.fixture(scope="module")
def packed(packing_trainer, some_rows):
    return matching.inspect_batches(packing_trainer, some_rows)


def test_rows_are_what_the_template_renders(as_trained, no_findings):
    no_findings(sources.rows_are_what_the_template_renders(as_trained))


def test_rows_start_with_one_bos_at_most(as_trained, no_findings):
    no_findings(sources.rows_start_with_one_bos(as_trained))


def test_every_message_reaches_its_row(as_trained, no_findings):
    no_findings(sources.messages_reach_the_row(as_trained))


def test_content_and_terminator_of_every_turn_are_supervised_and_nothing_else(as_trained, no_findings):
    no_findings(mask.turns_are_supervised(as_trained))


def test_some_row_teaches_the_model_to_stop(as_trained, no_findings):
    no_findings(mask.terminator_is_learned(as_trained))


def test_no_row_is_lost_or_left_with_nothing_to_learn(as_trained, no_findings):
    no_findings(sources.every_row_teaches(as_trained))


def test_labels_are_the_ids_and_are_shifted_by_the_model_alone(as_trained, no_findings):
    no_findings(collation.labels_are_the_ids(as_trained))


def test_padding_is_neither_seen_nor_supervised(as_trained, no_findings):
    no_findings(collation.padding_is_ignored(as_trained))


def test_the_collator_leaves_labels_as_they_were_prepared(as_trained, no_findings):
    no_findings(collation.collator_keeps_labels(as_trained))


def test_documents_of_the_training_set_do_not_see_each_other(as_trained, no_findings):
    no_findings(collation.packed_documents_are_apart(as_trained))


def test_the_loss_is_the_mean_over_supervised_tokens(trainer, as_trained, no_findings):
    from harness.inspection.reference_loss import loss_equals_reference

    if getattr(trainer.args, "loss_type", "nll") != "nll":
        pytest.skip(f"the trainer minimises loss_type={trainer.args.loss_type!r}, not the negative log-likelihood")
    seen = as_trained.batches
    shown = {0, len(seen) // 2, len(seen) - 1}  # the first, one from the middle, the last
    no_findings([finding for number in sorted(shown) for finding in loss_equals_reference(trainer, seen[number])])


def test_rows_cut_at_the_length_limit_keep_their_mask_and_get_no_terminator(cut_short, no_findings):
    no_findings(sources.rows_are_what_the_template_renders(cut_short) + mask.turns_are_supervised(cut_short))


def test_packed_rows_hold_whole_documents_with_their_masks(packed, no_findings):
    no_findings(sources.rows_are_what_the_template_renders(packed) + mask.turns_are_supervised(packed))


def test_packed_documents_do_not_see_each_other(packed, packing_trainer, no_findings):
    from harness.inspection.reference_loss import loss_equals_reference

    no_findings(
        collation.packed_documents_are_apart(packed) + loss_equals_reference(packing_trainer, packed.batches[0])
    )


def test_what_is_supervised_is_reported(as_trained, note, show_rows):
    for remark in mask.notes(as_trained):
        note(remark)
    shown = [match.segment for match in as_trained.matches]
    show_rows(batches.preview(shown, as_trained.tokenizer))
