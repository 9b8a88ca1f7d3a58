"""Elastic weight consolidation on a trainer: its penalty is its formula, its Fisher information a mean of squares.

Looked at is whatever the trainer carries (a callback, or the trainer itself) that has ``strength``, ``fisher``,
``anchor`` and ``penalty(model)`` as ``harness.training.ewc.ElasticWeights`` has them; ``estimate(trainer, rows)`` is
asked for the Fisher information where it is there.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from harness.findings import Note
from harness.inspection.batches import taken
from harness.inspection.scratch import borrowed_model
from harness.loop.looked_at import Loop
from harness.loop.observed import STEPS, observed
from harness.loop.short_run import short_run
from harness.records import Finding
from harness.training.ewc import row_loss

PARTS = ("strength", "fisher", "anchor", "penalty")

ROWS = 8
"""Rows of the training set on which the estimate is made again, one by one."""

STRONGER = 1e6
"""Times the strength that is asked for: what does not show then never does."""

CLOSE = 1e-4
"""Relative; the sums are float32 ones, of squares of the same sign."""


def the_ewc_penalty_is_its_formula(loop: Loop, note: Note) -> list[Finding]:  # noqa: ARG001
    """Where the weights have moved, the penalty is strength / 2 times the sum of F (w - w*)^2."""
    elastic = _elastic(loop)
    if elastic is None:
        return []
    with borrowed_model(loop.trainer) as _, torch.no_grad():
        model: Any = loop.trainer.model
        weights = {name: weight for name, weight in model.named_parameters() if name in elastic.fisher}
        before = {name: elastic.anchor[name].detach().float().clone() for name in weights}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            for weight in weights.values():
                weight += 1e-2 * torch.randn(weight.shape).to(weight)
        expected = sum(
            float((elastic.fisher[name].to(weight.device) * (weight - before[name].to(weight.device)) ** 2).sum())
            for name, weight in weights.items()
        )
        expected *= float(elastic.strength) / 2
        found = float(elastic.penalty(model))
    if expected and abs(found - expected) <= CLOSE * abs(expected):
        return []
    return [
        Finding(
            "the EWC penalty is not its formula",
            f"{type(elastic).__name__}, after every weight has moved a little",
            f"strength / 2 * sum F (w - w*)^2 = {expected:.6g}, more than 0",
            f"{found:.6g}",
            "keep copies of the weights from before the task (detach().clone()), and a Fisher information that is not "
            "zero everywhere",
        )
    ]


def the_ewc_penalty_reaches_the_weights(loop: Loop, note: Note) -> list[Finding]:
    """A run with a far stronger penalty comes to other weights than the run as it is."""
    elastic = _elastic(loop)
    if elastic is None:
        return []
    course, strength = observed(loop.trainer).course, elastic.strength
    if course.planned < STEPS or not course.moved:
        note(f"whether the EWC penalty reaches the weights is not seen: {course.planned} steps in all")
        return []
    try:
        elastic.strength = STRONGER * strength
    except AttributeError:
        note("whether the EWC penalty reaches the weights is not seen: its strength cannot be set")
        return []
    try:
        with tempfile.TemporaryDirectory() as scratch:
            held = short_run(loop.trainer, STEPS, Path(scratch))
    finally:
        elastic.strength = strength
    if any(not torch.equal(weight, held.final[name]) for name, weight in course.final.items()):
        return []
    return [
        Finding(
            "the EWC penalty does not reach the weights",
            f"{type(elastic).__name__}, in the first {STEPS} steps",
            f"other weights with {STRONGER:g} times the strength",
            "the same, to the last bit",
            "add the penalty to the loss that is differentiated (in compute_loss), or its gradient to the weights' "
            "before each optimizer step",
        )
    ]


def the_fisher_is_the_mean_of_squared_gradients(loop: Loop, note: Note) -> list[Finding]:
    """On a few rows the estimate is the mean of each row's squared gradient, made here row by row."""
    elastic = _elastic(loop)
    if elastic is None:
        return []
    estimate = getattr(elastic, "estimate", None)
    rows = [row for row in taken(loop.trainer.train_dataset, ROWS) if "labels" in row]
    if estimate is None or len(rows) < 2:
        note("the Fisher information is not estimated again: no estimate(trainer, rows), or no prepared rows")
        return []
    with borrowed_model(loop.trainer):
        expected, found = _row_by_row(loop.trainer, rows), estimate(loop.trainer, rows)
    apart = _norm({name: found[name].float() - each for name, each in expected.items() if name in found})
    if set(found) == set(expected) and apart <= CLOSE * _norm(expected):
        return []
    return [
        Finding(
            "the Fisher information is not the mean of squared gradients",
            f"{type(elastic).__name__}.estimate on {len(rows)} rows",
            f"a sum of {sum(float(each.sum()) for each in expected.values()):.6g} over all weights",
            f"{sum(float(each.sum()) for each in found.values()):.6g}, {apart / max(_norm(expected), 1e-30):.1%} apart",
            "take the gradient of each row alone, square it, and then take the mean over rows",
        )
    ]


def _elastic(loop: Loop) -> Any:
    carriers = (*loop.trainer.callback_handler.callbacks, loop.trainer)
    return next((each for each in carriers if all(hasattr(each, part) for part in PARTS)), None)


def _row_by_row(trainer: Any, rows: list[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
    weights = {name: weight for name, weight in trainer.model.named_parameters() if weight.requires_grad}
    total = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    for row in rows:
        trainer.model.zero_grad(set_to_none=True)
        torch.autograd.backward(row_loss(trainer, row))
        for name, weight in weights.items():
            if weight.grad is not None:
                total[name] += weight.grad**2 / len(rows)
    trainer.model.zero_grad(set_to_none=True)
    return total


def _norm(tensors: Mapping[str, torch.Tensor]) -> float:
    return float(sum(float(each.double().square().sum()) for each in tensors.values()) ** 0.5)
