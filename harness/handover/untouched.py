"""Whether a base model that shares its weights with an adapter's model is still what it was alone."""

from __future__ import annotations

import torch

from harness.models.base import Model
from harness.models.local import LocalModel
from harness.models.twin import says
from harness.records import Finding


def the_adapter_leaves_its_base_untouched(model: Model, base_model: Model) -> list[Finding]:
    """What the base model says to fixed texts is, to the last bit, what it said before the adapter was put on.

    Where the two share no weights there is nothing that the adapter could touch.
    """
    if not isinstance(model, LocalModel) or not isinstance(base_model, LocalModel):
        return []
    _ = model.module  # the adapter is on
    now, before = says(base_model.module), base_model.weights.before
    if before is None:
        return []
    moved = (now != before) & ~(now.isnan() & before.isnan())
    if not moved.any():
        return []
    furthest = torch.nan_to_num((now - before).float(), nan=torch.inf).abs().max()
    return [
        Finding(
            "the adapter has changed its base model",
            f"{base_model.name}, whose weights {model.name} shares in memory",
            "the logits of fixed texts that it gave before the adapter was put on it, to the last bit",
            f"{moved.float().mean():.1%} of them differ, by up to {furthest:.2e}",
            "load the base model once more for the comparison: trained biases stay in its weights when an adapter is "
            "switched off, and so do traces of one that was merged and taken out again",
        )
    ]
