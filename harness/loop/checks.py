"""Every check of a training loop, by the name of the case that makes it in the suites."""

from __future__ import annotations

from collections.abc import Callable

from harness.findings import Note
from harness.loop import (
    best,
    elastic,
    evaluation_loss,
    gradients,
    mixture,
    movement,
    noise,
    packing,
    repeatable,
    repetition,
    rounding,
    schedule,
    smoothed_loss,
)
from harness.loop.looked_at import Loop
from harness.records import Finding

LOOP: dict[str, Callable[[Loop, Note], list[Finding]]] = {
    "training/gradients_of_micro_batches_add_up": gradients.gradients_of_micro_batches_add_up,
    "training/the_training_loss_is_the_reference": smoothed_loss.the_training_loss_is_the_reference,
    "training/the_evaluation_loss_is_the_mean_over_all_tokens": evaluation_loss.loss_is_the_mean_over_all_tokens,
    "training/evaluation_is_repeatable_and_without_noise": repeatable.evaluation_is_repeatable_and_without_noise,
    "training/noise_on_embeddings_has_the_papers_scale": noise.noise_on_embeddings_has_the_papers_scale,
    "training/packing_equals_padding": packing.packing_equals_padding,
    "training/weights_have_the_dtype_asked_for": rounding.weights_have_the_dtype_asked_for,
    "training/only_the_intended_parameters_train": movement.only_intended_parameters_train,
    "training/every_trained_weight_moves": movement.every_trained_weight_moves,
    "training/the_base_of_an_adapter_stays": movement.the_base_of_an_adapter_stays,
    "training/optimizer_and_schedule_follow_the_plan": schedule.optimizer_and_schedule_follow_the_plan,
    "training/the_same_seed_gives_the_same_run": repetition.the_same_seed_gives_the_same_run,
    "training/resuming_equals_no_interruption": repetition.resuming_equals_no_interruption,
    "training/the_best_checkpoint_is_the_best": best.the_best_checkpoint_is_the_best,
    "training/rows_are_mixed_as_planned": mixture.rows_are_mixed_as_planned,
    "training/the_ewc_penalty_is_its_formula": elastic.the_ewc_penalty_is_its_formula,
    "training/the_ewc_penalty_reaches_the_weights": elastic.the_ewc_penalty_reaches_the_weights,
    "training/the_fisher_is_the_mean_of_squared_gradients": elastic.the_fisher_is_the_mean_of_squared_gradients,
}
"""Of a few steps of the user's own trainer, which is the same afterwards."""
