"""The training loss, computed a second time from its definition.

Teacher-forced next-token prediction: the logits at position t are scored on the id at t + 1; labels of -100 do not
count; the loss is the mean over the targets that do (or their sum over ``num_items_in_batch``, where the trainer
accumulates gradients). Every document runs through the model alone and without padding, so whatever a batch mixes up
between rows shows as a difference.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from harness.errors import UsageError
from harness.inspection.batches import IGNORED, Batch, segments
from harness.inspection.matching import Inspection
from harness.records import Finding

if TYPE_CHECKING:
    from transformers import Trainer

TOLERANCE = 1e-5
"""Allowed relative difference. Correct set-ups differ by at most 3e-7 in float32, packed rows included; a loss that
leaks between documents, or counts one target too many, by 1e-3 and more."""


def loss_gaps(trainer: Trainer, batch: Batch, counts: Sequence[int | None] = (None,)) -> list[tuple[float, float]]:
    """The trainer's loss on a batch, and the reference, for each ``num_items_in_batch`` (None: the mean).

    Both in evaluation mode, in float32, without gradients. The trainer is left as it was: its model's mode and weights,
    its metrics, its label smoothing, the batch.

    Raises:
        UsageError: the trainer minimises another loss than the negative log-likelihood, so nothing can be compared; or
            its own loss fails on its own batch.

    """
    if getattr(trainer.args, "loss_type", "nll") != "nll":
        raise UsageError(
            f"the trainer minimises loss_type={trainer.args.loss_type!r}, and the reference is the negative "
            "log-likelihood: set loss_type='nll' to compare them"
        )
    with left_as_it_was(trainer), in_float32(trainer.model), torch.no_grad():
        total, targets = _reference(trainer.model, batch)
        return [
            (float(computed_loss(trainer, batch.inputs, count)), total / max(1, targets if count is None else count))
            for count in counts
        ]


def computed_loss(trainer: Trainer, inputs: Mapping[str, Any], num_items_in_batch: int | None = None) -> torch.Tensor:
    """What the trainer's ``compute_loss`` makes of a batch, on the device of its model.

    Raises:
        UsageError: it fails, as it would in training.

    """
    device = next(trainer.model.parameters()).device
    given = {key: value.to(device) if hasattr(value, "to") else value for key, value in inputs.items()}
    count = {} if num_items_in_batch is None else {"num_items_in_batch": torch.tensor(num_items_in_batch)}
    try:
        loss: torch.Tensor = trainer.compute_loss(trainer.model, given, **count)
    except Exception as error:  # whatever the user's compute_loss raises
        reason = next(iter(str(error).strip().splitlines()), "no message")
        raise UsageError(
            f"the trainer's compute_loss fails on its own batch ({type(error).__name__}: {reason}): train() would fail "
            "in the same way; see that model, collator and compute_loss belong together"
        ) from error
    return loss


def loss_is_the_mean(trainer: Trainer, seen: Inspection) -> list[Finding]:
    """The loss equals its definition on the first batch, on one from the middle and on the last."""
    if getattr(trainer.args, "loss_type", "nll") != "nll":
        return []  # another loss is meant; notes() says so
    chosen = sorted({0, len(seen.batches) // 2, len(seen.batches) - 1})
    return [finding for number in chosen for finding in loss_equals_reference(trainer, seen.batches[number])]


def loss_equals_reference(trainer: Trainer, batch: Batch) -> list[Finding]:
    """The trainer's loss is the reference's, as a mean and as a share of twice the targets (accumulated gradients)."""
    targets = sum(label != IGNORED for segment in segments(batch) for label in segment.labels[1:])
    counts = (None, 2 * targets)
    return [
        Finding(
            "the trainer's loss is not the mean over the supervised tokens",
            f"prepared rows {batch.first_row} to {batch.first_row + len(batch.features) - 1}"
            + ("" if count is None else f", num_items_in_batch {count}"),
            f"{reference:.6f}",
            f"{loss:.6f} (off by {abs(loss - reference):.2e}, allowed {TOLERANCE:.0e})",
            "check that labels are shifted once, that prompts are ignored, and that packed documents do not "
            "see each other (position_ids without a 2-D attention mask)",
        )
        for count, (loss, reference) in zip(counts, loss_gaps(trainer, batch, counts), strict=True)
        if not abs(loss - reference) <= TOLERANCE * max(1.0, abs(reference))
    ]


def _reference(model: torch.nn.Module, batch: Batch) -> tuple[float, int]:
    """The sum of the negative log-likelihoods of a batch, in nats, and the number of its targets."""
    total, targets = 0.0, 0
    device = next(model.parameters()).device
    for segment in segments(batch):
        labels = torch.tensor(segment.labels[1:])
        learned = labels != IGNORED
        if not bool(learned.any()):
            continue
        logits = model(input_ids=torch.tensor([segment.ids], device=device), use_cache=False).logits[0, :-1]
        # double precision on float32 logits: the reference adds no rounding of its own
        log_p = torch.log_softmax(logits.cpu()[learned].double(), dim=-1)
        total -= float(log_p.gather(1, labels[learned].unsqueeze(1)).sum())
        targets += int(learned.sum())
    return total, targets


@contextmanager
def left_as_it_was(trainer: Trainer) -> Iterator[None]:
    """Evaluation mode, no label smoothing; afterwards everything that ``compute_loss`` writes to is put back."""
    training, smoother = trainer.model.training, trainer.label_smoother
    metrics = copy.deepcopy(getattr(trainer, "_metrics", None))
    trainer.model.eval()
    trainer.label_smoother = None
    try:
        yield
    finally:
        trainer.model.train(training)
        trainer.label_smoother = smoother
        if metrics is not None:
            trainer._metrics = metrics


@contextmanager
def in_float32(model: torch.nn.Module) -> Iterator[None]:
    """Hold half-precision weights in float32 for a while: at 1e-5 only the logic may differ, not the rounding."""
    held: list[tuple[Any, torch.Tensor]] = [
        (tensor, tensor.data)
        for tensor in (*model.parameters(), *model.buffers())
        if tensor.dtype in (torch.float16, torch.bfloat16)
    ]
    try:
        for tensor, data in held:
            tensor.data = data.float()
        with torch.autocast(next(model.parameters()).device.type, enabled=False):
            yield
    finally:
        for tensor, data in held:
            tensor.data = data
