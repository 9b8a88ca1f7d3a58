"""Do documents that were packed into one row see each other? Found out by changing one and watching the others.

The model runs as the trainer would run it: through ``compute_loss``, in training mode, with the batch as the collator
made it. So whatever decides about isolation (position ids, masks, a cache, the attention kernel) is the real thing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from harness.inspection.batches import Batch, light
from harness.inspection.documents import Segment
from harness.inspection.loss_run import can_run, computed_loss, heard_logits, in_float32, left_as_it_was
from harness.inspection.matching import Inspection, packed_rows, place
from harness.records import Finding

if TYPE_CHECKING:
    from transformers import Trainer

TOLERANCE = 1e-3
"""Allowed change of the other documents' logits, as a share of the change in the document itself. Isolated documents
move by 1e-7 in float32; documents that see each other by 0.1 and more."""

AT_ONCE = 64
"""Tokens whose logits are compared at a time."""


def packed_documents_do_not_see_each_other(trainer: Trainer, seen: Inspection) -> list[Finding]:
    """Where a token of a packed document is changed, the logits of the documents behind it stay as they were."""
    found = next(packed_rows(seen), None)
    if found is None:
        return []
    batch, (first, *others) = found
    at = first.segment.start + min(1, len(first.segment.ids) - 1)  # the first may be a BOS on which nothing depends
    moved = _moved_by(trainer, batch, first.segment, at)
    if moved is None:
        return []
    own = float(moved[at : first.segment.start + len(first.segment.ids)].max())
    for match in others:
        other = float(moved[match.segment.start : match.segment.start + len(match.segment.ids)].max())
        if own > 0 and other > TOLERANCE * own:
            return [
                Finding(
                    "a document sees the one that is packed before it",
                    f"{place(match, 0)}, from token {match.segment.start} of packed row {match.segment.row} on",
                    f"no change of its logits when token {at} of the document before it is changed",
                    f"they move by {other:.2g}, where that document's own move by {own:.2g}",
                    "restart position_ids at every document, leave the 2-D attention_mask out and train with "
                    "use_cache=False, or use an attention kernel that takes sequence lengths",
                )
            ]
    return []


def no_token_sees_the_next(trainer: Trainer, seen: Inspection) -> list[Finding]:
    """Where the last token of a row is changed, the logits before it stay as they were: the model predicts it."""
    batch = next(iter(light(seen.batches)), None)
    match = next((match for match in seen.matches if batch is not None and match.segment.row == batch.first_row), None)
    if batch is None or match is None:
        return []
    at = match.segment.start + len(match.segment.ids) - 1
    moved = _moved_by(trainer, batch, match.segment, at) if len(match.segment.ids) > 2 else None
    if moved is None or not float(moved[at]) > 0:
        return []
    before = float(moved[match.segment.start : at].max())
    if before <= TOLERANCE * float(moved[at]):
        return []
    return [
        Finding(
            "tokens see those after them, so the model learns to copy and not to predict",
            place(match, len(match.segment.ids) - 1),
            "no change of the logits before it when this token is changed",
            f"they move by {before:.2g}, where its own move by {float(moved[at]):.2g}",
            "train with causal attention: look at is_causal of the model and at the attention mask of the batch",
        )
    ]


def _moved_by(trainer: Trainer, batch: Batch, document: Segment, at: int) -> torch.Tensor | None:
    """How far the logits of a row move, token by token, when one of its tokens becomes another of the document."""
    if not can_run(trainer, batch):
        return None
    inputs = one_row(batch, document.row - batch.first_row)
    ids = inputs["input_ids"]
    changed = ids.clone()
    changed[0, at] = next((token for token in document.ids if token != ids[0, at]), 0)
    before, after = (_logits(trainer, {**inputs, "input_ids": given}) for given in (ids, changed))
    if before is None or after is None or before.shape != after.shape:
        return None
    # Piece by piece: the logits of a long row over a large vocabulary are gigabytes, and so would their differences be.
    pieces = zip(torch.split(before[0], AT_ONCE), torch.split(after[0], AT_ONCE), strict=True)
    return torch.cat([(now - then).abs().amax(dim=-1) for then, now in pieces])


def one_row(batch: Batch, row: int) -> dict[str, Any]:
    """The batch without its other rows, which have no part in this and cost as much as it."""
    rows = len(batch.inputs["input_ids"])
    return {
        key: value[row : row + 1] if isinstance(value, torch.Tensor) and value.dim() and len(value) == rows else value
        for key, value in batch.inputs.items()
    }


def _logits(trainer: Trainer, inputs: Mapping[str, Any]) -> torch.Tensor | None:
    """The logits that the trainer's loss is computed of; None where the model does not return any."""
    model = trainer.model
    with left_as_it_was(trainer), in_float32(model), _same_chances(), heard_logits(model) as heard, torch.no_grad():
        model.train()
        computed_loss(trainer, inputs)
    return heard[-1].float().cpu() if heard and heard[-1].dim() == 3 else None


@contextmanager
def _same_chances() -> Iterator[None]:
    """Dropout draws the same for both runs, and the trainer's random state does not move."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield
