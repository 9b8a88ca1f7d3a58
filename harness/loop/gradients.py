"""Gradient accumulation: what the optimizer gets of several micro-batches is what it gets of all their rows at once.

Losses do not show it: where short micro-batches weigh too much, the gradient is off by a tenth and the loss by 0.03 %.
So gradients are compared, and they are made by the trainer's own ``get_batch_samples`` and ``training_step``.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MethodType
from typing import TYPE_CHECKING, Any

import torch

from harness.errors import UsageError
from harness.findings import Note
from harness.inspection.batches import collated_as, first_line_of
from harness.inspection.scratch import borrowed_model
from harness.loop.few_rows import Row, few_rows
from harness.loop.looked_at import Loop
from harness.records import Finding

if TYPE_CHECKING:
    from transformers import Trainer

MOST = 4
"""Micro-batches at most, of one row each."""

TOLERANCE = 1e-5
"""Allowed length of the difference, as a share of the gradient's. A sound loop differs by 3e-7 in float32, a mean of
the micro-batches' means by 0.1 and more."""

ABOVE_ROUNDING = 3.0
"""How much larger than the loop's own noise a difference must be; the noise is rounding where nothing is random."""

Gradient = list[torch.Tensor]


@dataclass(frozen=True)
class Update:
    """What an optimizer step gets: the gradient of all trained weights, and the loss that it lowers, in nats."""

    gradient: Gradient
    loss: float


def gradients_of_micro_batches_add_up(loop: Loop, note: Note) -> list[Finding]:
    """Where the trainer accumulates: rows that come one by one give the gradient that they give as one batch."""
    trainer: Any = loop.trainer
    asked = trainer.args.gradient_accumulation_steps
    if asked < 2:
        note("gradient_accumulation_steps is 1: nothing accumulates")
        return []
    rows = few_rows(loop, min(asked, MOST))
    if len(rows) < 2:
        note("there are fewer than two rows with something to learn, so nothing can be accumulated")
        return []
    alone = [row.inputs for row in rows]
    (together,) = collated_as(trainer, [[row.prepared for row in rows]])
    with as_it_trains(trainer) as weights:
        if not weights:
            return []  # another case says so
        whole = update_of(trainer, weights, [together]).gradient
        summed = update_of(trainer, weights, alone).gradient
        error = distance(summed, whole)
        if error <= TOLERANCE:
            note(f"the gradient of {len(rows)} micro-batches is that of the whole batch within {error:.1e}")
            return []
        by_tokens, by_batches = by_hand(trainer, weights, rows)
    noise = distance(by_tokens, whole)
    if not error > ABOVE_ROUNDING * noise:
        note(
            f"the gradient of {len(rows)} micro-batches is {error:.1e} from that of the whole batch, but this loss is "
            f"no mean over its tokens, or not computed in float32 (off by {noise:.1e}), so nothing can be said"
        )
        return []
    return [_finding(rows, summed, whole, by_batches)]


@contextmanager
def as_it_trains(trainer: Trainer) -> Iterator[list[torch.nn.Parameter]]:
    """The trainable weights, in float32, of a model that trains with its label smoothing and without chance.

    For whoever asks it the model is in training; all its parts behave as in evaluation. What balances a mixture of
    experts is left out: it is a matter of whole batches, and no sum over tokens.
    """
    model: Any = trainer.model
    smoother = trainer.label_smoother
    balances = getattr(model.config, "output_router_logits", None)
    own: dict[str, Callable[..., Any]] = {"train": vars(model)["train"]} if "train" in vars(model) else {}
    with borrowed_model(trainer) as weights:
        trainer.label_smoother = smoother
        if balances:
            model.config.output_router_logits = False
        if getattr(trainer, "aux_loss_enabled", False):
            trainer.aux_loss_enabled = False
        model.eval()
        model.training = True
        # A method, so that it belongs to the copy where compute_loss copies the model for a reference.
        vars(model)["train"] = MethodType(lambda self, mode=True: self, model)  # noqa: ARG005
        try:
            yield weights
        finally:
            del vars(model)["train"]
            vars(model).update(own)
            if balances:
                model.config.output_router_logits = balances


def update_of(trainer: Trainer, weights: Sequence[torch.Tensor], batches: Sequence[Mapping[str, Any]]) -> Update:
    """What one optimizer step gets of these micro-batches, before it is clipped; ``train()`` does just that.

    Raises:
        UsageError: a training step fails.

    """
    with _accumulating(trainer, len(batches)):
        for weight in weights:
            weight.grad = None
        try:
            given, count = trainer.get_batch_samples(
                iter([dict(b) for b in batches]), len(batches), trainer.args.device
            )
            trainer.current_gradient_accumulation_steps = len(given)
            loss = sum(float(trainer.training_step(trainer.model, inputs, count)) for inputs in given)
        except Exception as error:  # whatever the user's training_step raises
            raise UsageError(
                f"the trainer's training_step fails on its own batch ({type(error).__name__}: "
                f"{first_line_of(error)}): see that model, collator and compute_loss belong together"
            ) from error
        gradients = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in weights]
        for weight in weights:
            weight.grad = None
        return Update(gradients, loss)


@contextmanager
def _accumulating(trainer: Any, steps: int) -> Iterator[None]:
    """Tell the trainer's arguments, and accelerate where it follows them, how many micro-batches make a step."""
    args, before = trainer.args, trainer.accelerator.gradient_accumulation_steps
    trainer.args = copy.copy(args)
    trainer.args.gradient_accumulation_steps = steps
    if before == args.gradient_accumulation_steps or steps == 1:
        trainer.accelerator.gradient_accumulation_steps = steps
    try:
        yield
    finally:
        trainer.args, trainer.accelerator.gradient_accumulation_steps = args, before


def by_hand(trainer: Trainer, weights: Sequence[torch.Tensor], rows: Sequence[Row]) -> tuple[Gradient, Gradient]:
    """The mean of the rows' gradients, each a step of its own: by their targets, as is right, and each alike."""
    total = sum(row.targets for row in rows)
    by_tokens, by_batches = ([torch.zeros_like(weight) for weight in weights] for _ in range(2))
    for row in rows:
        for gradient, one, other in zip(
            update_of(trainer, weights, [row.inputs]).gradient, by_tokens, by_batches, strict=True
        ):
            one.add_(gradient, alpha=row.targets / total)
            other.add_(gradient, alpha=1 / len(rows))
    return by_tokens, by_batches


def distance(one: Gradient, other: Gradient) -> float:
    """The length of the difference as a share of the length of ``other``; infinite where there is no gradient."""
    length = _dot(other, other)
    apart = sum(float((a.float() - b.float()).double().square().sum()) for a, b in zip(one, other, strict=True))
    return float((apart / length) ** 0.5) if length > 0 else float("inf") if apart > 0 else 0.0


def _dot(one: Gradient, other: Gradient) -> float:
    return sum(float((a.double() * b.double()).sum()) for a, b in zip(one, other, strict=True))


def _finding(rows: Sequence[Row], summed: Gradient, whole: Gradient, by_batches: Gradient) -> Finding:
    number, near = len(rows), 0.01
    ratio = _dot(summed, whole) / max(_dot(whole, whole), 1e-30)
    counts = ", ".join(str(row.targets) for row in rows)
    where = f"an optimizer step over {number} micro-batches of one row, with {counts} learned tokens"
    expected = "the gradient that the same rows give as one batch"
    found = (
        f"one that is {distance(summed, whole):.1%} of its length away, and {ratio:.3f} times as long in its direction"
    )
    if abs(ratio / number - 1) < near or distance(summed, [number * each for each in by_batches]) < near:
        return Finding(
            "accumulated gradients are too large by the number of micro-batches",
            where,
            expected,
            found,
            "divide the sum of the losses by num_items_in_batch, which compute_loss gets; or leave the mean as it is "
            "and set loss_is_scaled_for_ga=False in the trainer, so that it is divided by the number of micro-batches",
        )
    every = " (it is the mean of the micro-batches' means)" if distance(summed, by_batches) < near else ""
    return Finding(
        "micro-batches do not add up to the whole batch",
        where,
        expected,
        found + every,
        "divide the sum of the losses by num_items_in_batch, which compute_loss gets, and not by the tokens of the "
        "micro-batch: else a token of a short answer weighs more than one of a long answer (a model gets it only "
        "where its forward takes **kwargs)",
    )
