"""A run watched step by step: its progress told, and stopped where a loss or a gradient is no number any more."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainerCallback

from harness.errors import InvalidRunError
from harness.training.step_rows import StepRow, named, rows_of, tried_alone

if TYPE_CHECKING:
    from transformers import Trainer


@dataclass(frozen=True)
class Step:
    """How far a run is: steps done and in all, the last loss, and tokens a second of this process, padding left out."""

    done: int
    total: int
    loss: float
    tokens_per_second: float


Progress = Callable[[Step], None]
"""Told after every step."""


class Watch(TrainerCallback):  # type: ignore[misc]  # transformers has no types
    """Hears every step of a trainer that logs each; it costs a comparison of the loss, which is at hand."""

    def __init__(self, trainer: Trainer, recipe: Path, progress: Progress | None) -> None:
        self.trainer = trainer
        self.recipe = recipe
        self.progress = progress
        self.batches: list[Mapping[str, Any]] = []
        self.began = time.perf_counter()
        self._take_step = trainer.training_step
        trainer.training_step = self._training_step
        trainer.add_callback(self)

    def _training_step(self, model: Any, inputs: Mapping[str, Any], *rest: Any, **named_rest: Any) -> torch.Tensor:
        """Take the step, and stop before the weights are changed by a loss that is none."""
        self.batches.append(dict(inputs))
        loss: torch.Tensor = self._take_step(model, inputs, *rest, **named_rest)
        if not math.isfinite(float(loss)):
            rows = tried_alone(self.trainer, self.batches[-1])
            self._stop(f"the loss is {float(loss)}", self.trainer.state.global_step + 1, rows)
        return loss

    def on_step_begin(self, args: Any, state: Any, control: Any, **beside: Any) -> None:  # noqa: ARG002
        """Forget the batches of the step before."""
        self.batches.clear()

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any], **beside: Any) -> None:  # noqa: ARG002
        """Look at the gradients' norm, and tell how far the run is."""
        if "loss" not in logs:
            return
        norm = logs.get("grad_norm")
        if norm is not None and not math.isfinite(norm):
            # The weights have been changed by these gradients, so no row can be tried alone any more.
            rows = [row for batch in self.batches for row in rows_of(self.trainer, batch)]
            self._stop(f"the gradients are {norm}", state.global_step, rows)
        if self.progress is not None:
            self.progress(Step(state.global_step, state.max_steps, logs["loss"], self._speed(logs)))

    def _speed(self, logs: Mapping[str, Any]) -> float:
        return float(logs.get("num_tokens", 0)) / max(time.perf_counter() - self.began, 1e-9)

    def _stop(self, what: str, step: int, rows: list[StepRow]) -> None:
        raise InvalidRunError(
            f"{self.recipe}: {what} at step {step} of {self.trainer.state.max_steps}, on {named(rows)}; the model was "
            f"not saved: {_advice(rows)}."
        )


def _advice(rows: list[StepRow]) -> str:
    guilty = [row for row in rows if row.alone_finite is False]
    if guilty and len(guilty) < len(rows):
        return f"of these, only {named(guilty)} gives such a loss alone, so look at what is in it"
    if len(guilty) > 1:
        return "each of its rows gives such a loss alone, so lower learning_rate or clip gradients by max_grad_norm"
    return "lower learning_rate, clip gradients by max_grad_norm, or look at these rows"
