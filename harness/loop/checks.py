"""Every check of a training loop, by the name of the case that makes it in the suites."""

from __future__ import annotations

from collections.abc import Callable

from harness.findings import Note
from harness.loop import best, gradients, movement, repetition, schedule
from harness.loop.looked_at import Loop
from harness.records import Finding

LOOP: dict[str, Callable[[Loop, Note], list[Finding]]] = {
    "training/gradients_of_micro_batches_add_up": gradients.gradients_of_micro_batches_add_up,
    "training/only_the_intended_parameters_train": movement.only_intended_parameters_train,
    "training/every_trained_weight_moves": movement.every_trained_weight_moves,
    "training/the_base_of_an_adapter_stays": movement.the_base_of_an_adapter_stays,
    "training/optimizer_and_schedule_follow_the_plan": schedule.optimizer_and_schedule_follow_the_plan,
    "training/the_same_seed_gives_the_same_run": repetition.the_same_seed_gives_the_same_run,
    "training/resuming_equals_no_interruption": repetition.resuming_equals_no_interruption,
    "training/the_best_checkpoint_is_the_best": best.the_best_checkpoint_is_the_best,
}
"""Of a few steps of the user's own trainer, which is the same afterwards."""
