"""Numbers of a recipe that trl takes as they come, and that end in a crash, or in a run that trains nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import RecipeError

if TYPE_CHECKING:
    from trl import ModelConfig, SFTConfig

AT_LEAST_ONE = (
    "per_device_train_batch_size",
    "per_device_eval_batch_size",
    "gradient_accumulation_steps",
    "max_length",
    "lora_r",
)
ABOVE_ZERO = ("learning_rate", "lora_alpha")
NOT_BELOW_ZERO = ("neftune_noise_alpha", "weight_decay", "max_grad_norm", "adam_epsilon", "lora_dropout")


def check_bounds(path: Path, training: SFTConfig, model: ModelConfig) -> None:
    """Raise RecipeError for the first number that is out of the range in which it means something."""
    for names, least, words in (
        (AT_LEAST_ONE, 1, "must be 1 or more"),
        (ABOVE_ZERO, 1e-300, "must be above 0"),
        (NOT_BELOW_ZERO, 0, "must not be below 0"),
    ):
        for name in names:
            value = getattr(training, name, getattr(model, name, None))
            if value is not None and not value >= least:
                raise RecipeError(f"{path}: {name}: {value} {words}; correct the value.")
    if training.save_strategy == "steps" and not training.save_steps > 0:
        raise RecipeError(f"{path}: save_steps: {training.save_steps} must be above 0; correct the value.")
    if training.max_steps == 0 or training.max_steps < -1:
        raise RecipeError(f"{path}: max_steps: {training.max_steps} trains nothing; name a number, or remove the key.")
    if training.max_steps == -1 and not training.num_train_epochs > 0:
        raise RecipeError(f"{path}: num_train_epochs: {training.num_train_epochs:g} trains nothing; name a number.")
