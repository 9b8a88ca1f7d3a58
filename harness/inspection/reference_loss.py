"""The training loss, computed a second time from its definition.

Teacher-forced next-token prediction: the logits at position t are scored on the id at t + 1; labels of -100 do not
count; the loss is the mean over the targets that do (or their sum over ``num_items_in_batch``, where the trainer
accumulates gradients). Every document runs through the model alone and without padding, so whatever a batch mixes up
between rows shows as a difference.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from harness.errors import UsageError
from harness.inspection.batches import IGNORED, Batch, light
from harness.inspection.documents import Segment, segments
from harness.inspection.loss_run import can_run, computed_loss, in_float32, left_as_it_was
from harness.inspection.matching import Inspection
from harness.inspection.teaching import Taught, carries_weights, taught, what_is_wrong
from harness.records import Finding

if TYPE_CHECKING:
    from transformers import Trainer

TOLERANCE = 1e-5
"""Allowed relative difference. Correct set-ups differ by at most 3e-7 in float32, packed rows included; a loss that
leaks between documents, or counts one target too many, by 1e-3 and more."""

AT_ONCE = 64
"""Tokens whose log-probabilities are computed at a time."""


def loss_gaps(
    trainer: Trainer,
    batch: Batch,
    counts: Sequence[int | None] = (None,),
    documents: Sequence[Segment] | None = None,
) -> list[tuple[float, float]]:
    """The trainer's loss on a batch, and the reference, for each ``num_items_in_batch`` (None: the mean).

    ``documents`` are those of the batch, where they are known better than its tensors tell. Both numbers are computed
    in evaluation mode, in float32, without gradients. The trainer is left as it was: its model's mode and weights, its
    metrics, its label smoothing, the batch.

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
        total, targets = _reference(trainer.model, segments(batch) if documents is None else documents)
        return [
            (float(computed_loss(trainer, batch.inputs, count)), total / max(1, targets if count is None else count))
            for count in counts
        ]


def loss_is_the_mean(trainer: Trainer, seen: Inspection) -> list[Finding]:
    """The loss equals its definition on the first batch and on the last, which may be a smaller one."""
    if getattr(trainer.args, "loss_type", "nll") != "nll":
        return []  # another loss is meant; notes() says so
    batches = [batch for batch in light(seen.batches) if can_run(trainer, batch)]
    chosen = sorted({0, len(batches) - 1}) if batches else []
    return [finding for number in chosen for finding in _judged(trainer, seen, batches[number])]


def _judged(trainer: Trainer, seen: Inspection, batch: Batch) -> list[Finding]:
    """Where the numbers differ, what the loss teaches decides: another loss on purpose is no fault of the mean's."""
    rows = range(batch.first_row, batch.first_row + len(batch.inputs["input_ids"]))
    differs = loss_equals_reference(trainer, batch, [m.segment for m in seen.matches if m.segment.row in rows])
    if not differs:
        return []
    found = taught(trainer, batch)
    if found is None:
        # No logits to look closer at; the routers of a mixture of experts add a loss of their own.
        return [] if getattr(trainer.model.config, "output_router_logits", False) else differs
    return what_is_wrong(seen, batch, found) or (differs if _has_a_wrong_share(trainer, batch, differs, found) else [])


def _has_a_wrong_share(trainer: Trainer, batch: Batch, differs: list[Finding], found: Taught) -> bool:
    """Whether the right tokens are taught with a wrong weight: not as a mean, or not as one of accumulated batches."""
    if not (found.readable and found.linear) or carries_weights(batch) or found.by_token:
        return False
    accumulates = trainer.args.gradient_accumulation_steps > 1 and len(differs) == 1
    return accumulates or not found.weighted(1.0)


def loss_equals_reference(trainer: Trainer, batch: Batch, documents: Sequence[Segment] | None = None) -> list[Finding]:
    """The trainer's loss is the reference's: the mean, or a share of the targets of all accumulated batches."""
    documents = segments(batch) if documents is None else documents
    targets = sum(label != IGNORED for segment in documents for label in segment.labels[1:])
    counts = (None, 2 * targets) if trainer.args.gradient_accumulation_steps > 1 else (targets,)
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
        for count, (loss, reference) in zip(counts, loss_gaps(trainer, batch, counts, documents), strict=True)
        if not abs(loss - reference) <= TOLERANCE * max(1.0, abs(reference))
    ]


def _reference(model: torch.nn.Module, documents: Sequence[Segment]) -> tuple[float, int]:
    """The sum of the negative log-likelihoods of documents, in nats, and the number of its targets."""
    total, targets = 0.0, 0
    device = next(model.parameters()).device
    for segment in documents:
        labels = torch.tensor(segment.labels[1:])
        learned = (labels != IGNORED).nonzero().squeeze(1)
        if not len(learned):
            continue
        logits = model(input_ids=torch.tensor([segment.ids], device=device), use_cache=False).logits[0]
        logits = logits[-len(segment.ids) : -1]  # without those of virtual tokens, which an adapter may put before
        # double precision on float32 logits: the reference adds no rounding of its own; a few tokens at a time, so
        # that a large vocabulary needs little memory
        for some in torch.split(learned, AT_ONCE):
            log_p = torch.log_softmax(logits[some].cpu().double(), dim=-1)
            total -= float(log_p.gather(1, labels[some].unsqueeze(1)).sum())
        targets += len(learned)
    return total, targets
