"""The precision of the weights that train: what an optimizer step adds to them is not rounded away.

A weight in bfloat16 has 8 significant bits. Where a step is less than half of the distance to the next number, the
weight stays where it is, however often the same step is made; a copy in float32 goes on. So the same step is made many
times on a small part of the weights and on a float32 copy of it, by the trainer's own optimizer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from harness.findings import Note
from harness.inspection.loss_run import computed_loss, left_as_it_was
from harness.loop.few_rows import few_rows
from harness.loop.looked_at import Loop
from harness.records import Finding

HALF = (torch.float16, torch.bfloat16)
TENSORS, SIDE, STEPS = 4, 64, 256
"""How many tensors are tried, how much of each (rows and columns), and how often the same step is made."""

FAR, ENOUGH = 4, 50
"""A weight counts that its float32 copy moves by so many of the numbers that it can hold; and how many must count.
Rounding at random, or with a compensation, has moved 98 % of these."""

ALLOWED = 0.05
"""Share of those that may be where they were."""


@dataclass(frozen=True)
class Tried:
    """How many weights a float32 copy moved far, and how many of these did not move at all themselves."""

    moving: int
    stuck: int

    @property
    def share(self) -> float:
        """The share that is stuck."""
        return self.stuck / max(1, self.moving)


def weights_have_the_dtype_asked_for(loop: Loop, note: Note) -> list[Finding]:
    """Weights train in float32, or in the half precision that is asked for, or in one that loses no step."""
    trainer: Any = loop.trainer
    trained = {name: weight for name, weight in trainer.model.named_parameters() if weight.requires_grad}
    half = {name: weight for name, weight in trained.items() if weight.dtype in HALF}
    if not half:
        return []
    asked = _asked(loop)
    kind = ", ".join(sorted({str(weight.dtype).removeprefix("torch.") for weight in half.values()}))
    where = f"{len(half)} of {len(trained)} trained tensors, such as {next(iter(half))}"
    if asked == torch.float32:
        return [
            Finding(
                "weights train in another precision than was asked for",
                where,
                "float32",
                kind,
                "cast them with model.float(), or load the model with dtype='float32'",
            )
        ]
    tried = _tried(loop, half, note)
    if tried is None:
        return []
    lost = f"{tried.share:.0%} of the weights that a float32 copy moves far in {STEPS} equal steps do not move at all"
    if asked is not None or tried.share <= ALLOWED:
        note(f"{kind} is what weights train in ({where}); {lost}")
        return []
    return [
        Finding(
            "steps of the optimizer are rounded away",
            f"{where}, in {kind}",
            f"weights that move as in float32 at learning_rate={trainer.args.learning_rate:g}",
            lost,
            "load the model with dtype='float32' (from_pretrained keeps the precision of the files) and let bf16=True "
            "compute in half precision; where half precision is meant, say so in model_init_kwargs={'dtype': ...}",
        )
    ]


def _asked(loop: Loop) -> torch.dtype | None:
    """The precision that arguments or recipe name; None where they leave it to the files."""
    said = [getattr(loop.trainer.args, "model_init_kwargs", None)]
    said += [loop.recipe.values] if loop.recipe is not None else []
    for values in said:
        for key in ("dtype", "torch_dtype"):
            named = (values or {}).get(key)
            found = getattr(torch, named, None) if isinstance(named, str) else named
            if isinstance(found, torch.dtype):
                return found
    return None


def _tried(loop: Loop, half: Mapping[str, torch.nn.Parameter], note: Note) -> Tried | None:
    trainer: Any = loop.trainer
    rows = few_rows(loop, 1)
    if not rows:
        return None
    names = sorted(half, key=lambda name: -half[name].numel())[:TENSORS]
    with left_as_it_was(trainer):
        loss = computed_loss(trainer, dict(rows[0].inputs))
        chosen = [half[name] for name in names]
        gradients = torch.autograd.grad(loss, chosen, allow_unused=True)
        optimizer = trainer.optimizer or trainer.create_optimizer()
        try:
            parts = [
                _one(optimizer, weight, gradient)
                for weight, gradient in zip(chosen, gradients, strict=True)
                if gradient is not None
            ]
        except Exception as error:  # whatever the user's optimizer raises on a part of a weight
            note(f"{type(optimizer).__name__} cannot be tried on a part of a weight ({type(error).__name__})")
            return None
    tried = Tried(sum(part.moving for part in parts), sum(part.stuck for part in parts))
    if tried.moving < ENOUGH:
        note(f"weights train in half precision, and {STEPS} steps are too short to see whether they are rounded away")
        return None
    return tried


def _one(optimizer: Any, weight: torch.Tensor, gradient: torch.Tensor) -> Tried:
    corner = tuple(slice(0, SIDE) for _ in weight.shape) if weight.dim() > 1 else (slice(0, SIDE * SIDE),)
    start, pull = weight.detach()[corner].clone(), gradient.detach()[corner]
    group = next(group for group in optimizer.param_groups if any(weight is each for each in group["params"]))
    own, copy = (_stepped(optimizer, group, start.to(dtype), pull.to(dtype)) for dtype in (start.dtype, torch.float32))
    # The distance between neighbours of this size: the exponent of the number, times the precision.
    apart = torch.finfo(start.dtype).eps * torch.exp2(torch.floor(torch.log2(start.float().abs().clamp(min=1e-30))))
    far = (pull != 0) & ((copy - start.float()).abs() >= FAR * apart)
    return Tried(int(far.sum()), int((far & (own == start)).sum()))


def _stepped(
    optimizer: Any, group: Mapping[str, Any], start: torch.Tensor, pull: torch.Tensor, steps: int = STEPS
) -> torch.Tensor:
    """Where a weight is after equal steps of an optimizer of the same kind and settings, at its full learning rate."""
    inner = getattr(optimizer, "optimizer", optimizer)  # accelerate puts one of its own around it
    weight = torch.nn.Parameter(start.clone())
    alike = object.__new__(type(inner))
    # A schedule leaves a step on the optimizer itself that would lead to the original.
    vars(alike).update({name: value for name, value in vars(inner).items() if name != "step"})
    alike.state = defaultdict(dict)
    alike.param_groups = [{**group, "params": [weight], "lr": group.get("initial_lr", group["lr"])}]
    for _ in range(steps):
        weight.grad = pull.clone()
        alike.step()
    return weight.detach()
