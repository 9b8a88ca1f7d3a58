"""Do documents that were packed into one row see each other? Found out by changing one and watching the others.

The model runs as the trainer would run it: through ``compute_loss``, in training mode, with the batch as the collator
made it. So whatever decides about isolation (position ids, masks, a cache, the attention kernel) is the real thing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from harness.inspection.batches import Batch
from harness.inspection.matching import Inspection, place
from harness.inspection.origins import Match
from harness.inspection.reference_loss import computed_loss, in_float32, left_as_it_was
from harness.records import Finding

if TYPE_CHECKING:
    from transformers import Trainer

TOLERANCE = 1e-3
"""Allowed change of the other documents' logits, as a share of the change in the document itself. Isolated documents
move by 1e-7 in float32; documents that see each other by 0.1 and more."""


def packed_documents_do_not_see_each_other(trainer: Trainer, seen: Inspection) -> list[Finding]:
    """Where a token of a packed document is changed, the logits of the documents behind it stay as they were."""
    for batch in seen.batches:
        packed = _packed_row(batch, seen)
        if packed:
            return _moved(trainer, batch, packed)
    return []


def _packed_row(batch: Batch, seen: Inspection) -> list[Match]:
    """The documents of the batch's first row that holds more than one."""
    by_row: dict[int, list[Match]] = {}
    for match in seen.matches:
        row = match.segment.row - batch.first_row
        if 0 <= row < len(batch.inputs["input_ids"]):
            by_row.setdefault(row, []).append(match)
    return next((documents for documents in by_row.values() if len(documents) > 1), [])


def _moved(trainer: Trainer, batch: Batch, packed: Sequence[Match]) -> list[Finding]:
    first = packed[0].segment
    row, ids = first.row - batch.first_row, batch.inputs["input_ids"]
    at = first.start + min(1, len(first.ids) - 1)  # the first may be a BOS on which nothing depends
    changed = ids.clone()
    # any other token that the model has an embedding for
    changed[row, at] = next((token for token in first.ids if token != ids[row, at]), 0)
    before, after = (_logits(trainer, {**batch.inputs, "input_ids": given}) for given in (ids, changed))
    if before is None or after is None or before.shape != after.shape:
        return []
    moved = (after - before).abs().amax(dim=-1)[row]
    own = float(moved[at : first.start + len(first.ids)].max())
    findings = []
    for match in packed[1:]:
        other = float(moved[match.segment.start : match.segment.start + len(match.segment.ids)].max())
        if own > 0 and other > TOLERANCE * own:
            findings.append(
                Finding(
                    "a document sees the one that is packed before it",
                    f"{place(match, 0)}, from token {match.segment.start} of packed row {first.row} on",
                    f"no change of its logits when token {at} of the document before it is changed",
                    f"they move by {other:.2g}, where that document's own move by {own:.2g}",
                    "restart position_ids at every document, leave the 2-D attention_mask out and set "
                    "model.config.use_cache = False, or use an attention kernel that takes sequence lengths",
                )
            )
    return findings[:1]


def _logits(trainer: Trainer, inputs: Mapping[str, Any]) -> torch.Tensor | None:
    """The logits that the trainer's loss is computed of; None where the model does not return any."""
    model = trainer.model
    with left_as_it_was(trainer), in_float32(model), _same_chances(), _listening(model) as heard, torch.no_grad():
        model.train()
        computed_loss(trainer, inputs)
    logits = getattr(heard[-1], "logits", None) if heard else None
    return logits.float().cpu() if isinstance(logits, torch.Tensor) and logits.dim() == 3 else None


@contextmanager
def _same_chances() -> Iterator[None]:
    """Dropout draws the same for both runs, and the trainer's random state does not move."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@contextmanager
def _listening(model: torch.nn.Module) -> Iterator[list[Any]]:
    heard: list[Any] = []
    handle = model.register_forward_hook(lambda *call: heard.append(call[-1]))
    try:
        yield heard
    finally:
        handle.remove()
