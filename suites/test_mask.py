"""Mask correctness: of the batches that reach the loss, is exactly what the assistant says supervised?"""

import pytest

from harness.inspection import (
    collation,
    content,
    documents,
    evaluation,
    lengths,
    mask,
    matching,
    prompts,
    remarks,
    sources,
    tools,
)

pytestmark = [pytest.mark.mask, pytest.mark.preflight]

A_FEW = 64  # rows of which the stand-in packs, and cuts, a set of its own
LONG = 2048  # tokens, beyond which rows are cut there, so that the stand-in can be run on two of them


@pytest.fixture(scope="module")
def some_rows(training_rows):
    if training_rows is None:
        pytest.skip("the rows behind --trainer are not known; give them with --train-data")
    return training_rows[:A_FEW]


@pytest.fixture(scope="module")
def longest(as_trained):
    return min(LONG, max(len(match.segment.ids) for match in as_trained.matches[:A_FEW]))


@pytest.fixture(scope="module")
def cut_short(tokenizer, some_rows, longest):
    from harness.inspection.stand_in import stand_in_trainer

    return matching.inspect_batches(stand_in_trainer(tokenizer, some_rows, max_length=longest - 1), some_rows)


@pytest.fixture(scope="module")
def packing_trainer(tokenizer, some_rows, longest):
    from harness.inspection.stand_in import stand_in_trainer

    # One packed row a batch holds several documents, and takes a quarter of the time over a large vocabulary.
    return stand_in_trainer(tokenizer, some_rows, packing=True, max_length=2 * longest, per_device_train_batch_size=1)


@pytest.fixture(scope="module")
def packed(packing_trainer, some_rows):
    return matching.inspect_batches(packing_trainer, some_rows)


def test_rows_are_what_the_template_renders(as_trained, no_findings):
    no_findings(sources.rows_are_what_the_template_renders(as_trained))


def test_rows_start_with_one_bos_at_most(as_trained, no_findings):
    no_findings(sources.rows_start_with_one_bos(as_trained))


def test_every_message_reaches_its_row(as_trained, no_findings):
    no_findings(sources.messages_reach_the_row(as_trained))


def test_tools_of_the_rows_are_rendered(as_trained, no_findings):
    no_findings(tools.tools_of_the_rows_are_rendered(as_trained))


def test_contents_write_no_control_tokens(as_trained, no_findings):
    no_findings(content.contents_write_no_control_tokens(as_trained))


def test_template_options_are_known_to_the_template(as_trained, no_findings):
    no_findings(content.template_options_are_known(as_trained))


def test_an_answer_is_prompted_as_at_inference(as_trained, no_findings):
    no_findings(prompts.answers_follow_the_prompt(as_trained))


def test_prompts_end_where_answers_begin(as_trained, no_findings):
    no_findings(prompts.prompts_end_where_answers_begin(as_trained))


def test_texts_open_the_answer_as_the_template_does(as_trained, no_findings):
    no_findings(prompts.texts_open_the_answer(as_trained))


def test_masks_that_rows_bring_are_used(as_trained, no_findings):
    no_findings(collation.masks_of_rows_are_used(as_trained))


def test_content_and_terminator_of_every_turn_are_supervised_and_nothing_else(as_trained, no_findings):
    no_findings(mask.turns_are_supervised(as_trained))


def test_some_row_teaches_the_model_to_stop(as_trained, no_findings):
    no_findings(mask.terminator_is_learned(as_trained))


def test_no_answer_is_empty(as_trained, no_findings):
    no_findings(content.no_answer_is_empty(as_trained))


def test_no_row_is_lost_or_left_with_nothing_to_learn(as_trained, no_findings):
    no_findings(sources.every_row_teaches(as_trained))


def test_few_rows_are_cut(as_trained, no_findings):
    no_findings(lengths.few_rows_are_cut(as_trained))


def test_labels_are_the_ids_and_are_shifted_by_the_model_alone(as_trained, no_findings):
    no_findings(collation.labels_are_the_ids(as_trained))


def test_padding_is_neither_seen_nor_supervised(as_trained, no_findings):
    no_findings(collation.padding_is_ignored(as_trained))


def test_the_collator_leaves_labels_as_they_were_prepared(as_trained, no_findings):
    no_findings(collation.collator_keeps_labels(as_trained))


def test_the_collator_leaves_its_rows_alone(as_trained, no_findings):
    no_findings(collation.collator_leaves_its_rows_alone(as_trained))


def test_packed_documents_are_kept_apart(as_trained, no_findings):
    no_findings(collation.packed_documents_are_apart(as_trained))


def test_packed_documents_do_not_see_each_other(trainer, as_trained, no_findings):
    from harness.inspection import isolation

    no_findings(isolation.packed_documents_do_not_see_each_other(trainer, as_trained))


def test_no_token_sees_the_next(trainer, as_trained, no_findings):
    from harness.inspection import isolation

    no_findings(isolation.no_token_sees_the_next(trainer, as_trained))


def test_the_loss_is_the_mean_over_supervised_tokens(trainer, as_trained, no_findings):
    from harness.inspection import reference_loss

    no_findings(reference_loss.loss_is_the_mean(trainer, as_trained))


def test_evaluation_rows_are_supervised_alike(as_trained, no_findings):
    no_findings(evaluation.evaluation_rows_are_supervised_alike(as_trained))


def test_rows_cut_at_a_length_limit_keep_their_mask_and_get_no_terminator(cut_short, no_findings):
    no_findings(sources.rows_are_what_the_template_renders(cut_short) + mask.turns_are_supervised(cut_short))


def test_rows_that_are_packed_stay_whole_and_keep_their_masks(packed, no_findings):
    no_findings(sources.rows_are_what_the_template_renders(packed) + mask.turns_are_supervised(packed))


def test_rows_that_are_packed_do_not_see_each_other(packed, packing_trainer, no_findings):
    from harness.inspection import isolation, reference_loss

    no_findings(
        collation.packed_documents_are_apart(packed)
        + isolation.packed_documents_do_not_see_each_other(packing_trainer, packed)
        + reference_loss.loss_equals_reference(packing_trainer, packed.batches[0])
    )


def test_what_is_supervised_is_reported(as_trained, note, show_rows):
    for remark in remarks.notes(as_trained):
        note(remark)
    shown = [match.segment for match in as_trained.matches]
    show_rows(documents.preview(shown, as_trained.tokenizer))
