"""The training loop that is looked at: the user's own trainer, and what is known of what it is meant to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.inspection.matching import Inspection
from harness.training.recipe import Recipe

if TYPE_CHECKING:
    from transformers import Trainer


@dataclass(frozen=True)
class Loop:
    """A trainer, its batches, and the recipe that it was built from where there is one.

    A check may run the trainer for a few steps; it gives it back as it was: weights, gradients, modes, random states,
    optimizer, schedule, state, callbacks and files.
    """

    trainer: Trainer
    seen: Inspection
    recipe: Recipe | None = None
