"""Training: does the loop do with its batches what it was asked to do? Needs --trainer or --recipe."""

import pytest

pytestmark = pytest.mark.training


def test_gradients_of_micro_batches_add_up(loop, no_findings, note):
    from harness.loop import gradients

    no_findings(gradients.gradients_of_micro_batches_add_up(loop, note))


def test_the_training_loss_is_the_reference(loop, no_findings, note):
    from harness.loop import smoothed_loss

    no_findings(smoothed_loss.the_training_loss_is_the_reference(loop, note))


def test_the_evaluation_loss_is_the_mean_over_all_tokens(loop, no_findings, note):
    from harness.loop import evaluation_loss

    no_findings(evaluation_loss.loss_is_the_mean_over_all_tokens(loop, note))


def test_evaluation_is_repeatable_and_without_noise(loop, no_findings, note):
    from harness.loop import repeatable

    no_findings(repeatable.evaluation_is_repeatable_and_without_noise(loop, note))


def test_noise_on_embeddings_has_the_papers_scale(loop, no_findings, note):
    from harness.loop import noise

    no_findings(noise.noise_on_embeddings_has_the_papers_scale(loop, note))


def test_packing_equals_padding(loop, no_findings, note):
    from harness.loop import packing

    no_findings(packing.packing_equals_padding(loop, note))


def test_weights_have_the_dtype_asked_for(loop, no_findings, note):
    from harness.loop import rounding

    no_findings(rounding.weights_have_the_dtype_asked_for(loop, note))


def test_only_the_intended_parameters_train(loop, no_findings, note):
    from harness.loop import movement

    no_findings(movement.only_intended_parameters_train(loop, note))


def test_every_trained_weight_moves(loop, no_findings, note):
    from harness.loop import movement

    no_findings(movement.every_trained_weight_moves(loop, note))


def test_the_base_of_an_adapter_stays(loop, no_findings, note):
    from harness.loop import movement

    no_findings(movement.the_base_of_an_adapter_stays(loop, note))


def test_optimizer_and_schedule_follow_the_plan(loop, no_findings, note):
    from harness.loop import schedule

    no_findings(schedule.optimizer_and_schedule_follow_the_plan(loop, note))


def test_the_same_seed_gives_the_same_run(loop, no_findings, note):
    from harness.loop import repetition

    no_findings(repetition.the_same_seed_gives_the_same_run(loop, note))


def test_resuming_equals_no_interruption(loop, no_findings, note):
    from harness.loop import repetition

    no_findings(repetition.resuming_equals_no_interruption(loop, note))


def test_the_best_checkpoint_is_the_best(loop, no_findings, note):
    from harness.loop import best

    no_findings(best.the_best_checkpoint_is_the_best(loop, note))


def test_rows_are_mixed_as_planned(loop, no_findings, note):
    from harness.loop import mixture

    no_findings(mixture.rows_are_mixed_as_planned(loop, note))


def test_the_ewc_penalty_is_its_formula(loop, no_findings, note):
    from harness.loop import elastic

    no_findings(elastic.the_ewc_penalty_is_its_formula(loop, note))


def test_the_ewc_penalty_reaches_the_weights(loop, no_findings, note):
    from harness.loop import elastic

    no_findings(elastic.the_ewc_penalty_reaches_the_weights(loop, note))


def test_the_fisher_is_the_mean_of_squared_gradients(loop, no_findings, note):
    from harness.loop import elastic

    no_findings(elastic.the_fisher_is_the_mean_of_squared_gradients(loop, note))
