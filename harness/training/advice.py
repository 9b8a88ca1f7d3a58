"""Advice on a recipe: values outside what the field recommends, each with the reason. Nothing is refused for them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from peft import PeftModel

if TYPE_CHECKING:
    from trl import SFTTrainer

    from harness.training.trainer import Parts


@dataclass(frozen=True)
class Range:
    """What the field recommends for the peak learning rate of a method, and where it says so."""

    low: float
    high: float
    reason: str


RATES = {
    "full": Range(1e-5, 5e-5, "higher rates overwrite what the base model knows, lower ones hardly move it"),
    # Hu et al. 2021 (LoRA) and Dettmers et al. 2023 (QLoRA) train at 1e-4 to 2e-4; Schulman et al. 2025 (LoRA Without
    # Regret) find the best rate at ten times that of full tuning.
    "LORA": Range(1e-4, 5e-4, "an adapter that starts at zero needs about ten times the rate of full tuning"),
}
"""By method; of the other methods of peft each paper recommends something else, so there is no advice on them."""

EPOCHS = (1.0, 3.0)
WARMUP = (0.03, 0.10)
"""Share of all steps."""


def advice(parts: Parts, trainer: SFTTrainer) -> list[str]:
    """Return one sentence for each value that is outside what the field recommends."""
    model: Any = trainer.model
    method = str(model.active_peft_config.peft_type.value) if isinstance(model, PeftModel) else "full"
    steps = _steps(trainer)
    return [
        *_on_the_rate(method, parts.training.learning_rate),
        *_on_epochs(steps / max(_steps_an_epoch(trainer), 1)),
        *_on_warmup(parts, steps),
    ]


def _on_the_rate(method: str, rate: float) -> Iterator[str]:
    usual = RATES.get(method)
    if usual and not usual.low <= rate <= usual.high:
        side = "above" if rate > usual.high else "below"
        yield (
            f"learning_rate {rate:g} is {side} the {usual.low:g} to {usual.high:g} that is usual for "
            f"{'full tuning' if method == 'full' else 'LoRA'}: {usual.reason}"
        )


def _on_epochs(epochs: float) -> Iterator[str]:
    least, most = EPOCHS
    if epochs > most * 1.01:
        yield f"{epochs:.1f} passes over the rows, where 1 to 3 are usual: with more, a model recites its rows"
    elif epochs < least * 0.99:
        yield f"{epochs:.2f} passes over the rows, where 1 to 3 are usual: some rows are never seen"


def _on_warmup(parts: Parts, steps: int) -> Iterator[str]:
    """Warm-up in steps, rounded in favour of what was asked: 3 to 10 % of 12 steps is one step or none."""
    warmup = parts.training.get_warmup_steps(steps)
    if round(WARMUP[0] * steps) <= warmup <= math.ceil(WARMUP[1] * steps):
        return
    asked = parts.training.warmup_steps
    said = f"warm-up takes {warmup} of {steps} steps, where 3 to 10 % are usual"
    if asked >= 1 and warmup < WARMUP[0] * steps:
        yield f"{said}: warmup_steps {asked:g} counts steps; below 1 it would be a share, as in warmup_steps: 0.05"
    elif warmup < WARMUP[0] * steps:
        yield f"{said}: the first steps at the full rate are taken by an optimizer that knows no scale yet"
    else:
        yield f"{said}: most of the training then runs below the rate that was chosen"


def _steps_an_epoch(trainer: SFTTrainer) -> int:
    a_step: int = trainer.args.per_device_train_batch_size * trainer.args.gradient_accumulation_steps
    return math.ceil(len(trainer.train_dataset) / (a_step * int(trainer.args.world_size)))


def _steps(trainer: SFTTrainer) -> int:
    if trainer.args.max_steps > 0:
        return int(trainer.args.max_steps)
    return math.ceil(_steps_an_epoch(trainer) * float(trainer.args.num_train_epochs))
