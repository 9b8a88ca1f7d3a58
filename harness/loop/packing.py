"""Packing: documents that share a row are learned as they are learned in rows of their own, padded to one length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from harness.findings import Note
from harness.inspection.batches import IGNORED, LONGEST_RUN, light
from harness.inspection.documents import Segment, segments
from harness.inspection.isolation import one_row
from harness.inspection.loss_run import can_run
from harness.loop.few_rows import Row
from harness.loop.gradients import ABOVE_ROUNDING, Update, as_it_trains, by_hand, distance, update_of
from harness.loop.looked_at import Loop
from harness.records import Finding

TOLERANCE = 1e-4
"""Allowed relative difference of loss and gradient. Sound packing differs by 2e-7 on a small model and 1e-5 on a deep
one; documents that see each other by 1e-2 and more."""


def packing_equals_padding(loop: Loop, note: Note) -> list[Finding]:
    """Where rows hold several documents and say so: loss and gradient are those of the same documents side by side."""
    found = _shortest_packed_row(loop)
    if found is None:
        note("no row holds several documents, or none of those is short enough to run in passing")
        return []
    row, inputs, documents = found
    padded, alone = _padded(inputs, documents), [_as_row(inputs, document) for document in documents]
    trainer: Any = loop.trainer
    with as_it_trains(trainer) as weights:
        if not weights:
            return []  # another case says so
        packed, apart = update_of(trainer, weights, [inputs]), update_of(trainer, weights, [padded])
        error = _off(packed, apart)
        if error <= TOLERANCE:
            note(f"{len(documents)} packed documents have the loss and the gradient of padded ones within {error:.1e}")
            return []
        noise = distance(by_hand(trainer, weights, [each for each in alone if each.targets])[0], apart.gradient)
    if not error > ABOVE_ROUNDING * noise:
        note(f"this loss is no mean over its tokens (off by {noise:.1e}), so packing is not held against padding")
        return []
    return [
        Finding(
            "packed documents are not learned as single ones are",
            f"packed row {row}, {len(documents)} documents with "
            f"{', '.join(str(len(document.ids)) for document in documents)} tokens",
            f"the loss and the gradient of the same documents in padded rows ({apart.loss:.6f})",
            f"a loss of {packed.loss:.6f}, a gradient that is {distance(packed.gradient, apart.gradient):.1%} of its "
            "length away",
            "restart position_ids at every document, leave the 2-D attention_mask out, ignore the first label of "
            "every document and train with use_cache=False, or use an attention kernel that takes sequence lengths",
        )
    ]


def _off(packed: Update, apart: Update) -> float:
    loss = abs(packed.loss - apart.loss) / max(1.0, abs(apart.loss))
    return max(loss, distance(packed.gradient, apart.gradient))


def _shortest_packed_row(loop: Loop) -> tuple[int, dict[str, Any], list[Segment]] | None:
    """The row with the fewest tokens of those that hold several documents by what its own tensors say."""
    found = []
    for batch in light(loop.seen.batches):
        by_row: dict[int, list[Segment]] = {}
        for document in segments(batch):
            by_row.setdefault(document.row, []).append(document)
        for row, documents in by_row.items():
            tokens = sum(len(document.ids) for document in documents)
            if len(documents) > 1 and tokens <= LONGEST_RUN and can_run(loop.trainer, batch):
                found.append((tokens, row, batch, documents))
    for _, row, batch, documents in sorted(found, key=lambda each: each[:2]):
        inputs = one_row(batch, row - batch.first_row)
        if _lie_as_they_say(inputs, documents) and _learns(documents):
            return row, inputs, documents
    return None


def _lie_as_they_say(inputs: Mapping[str, Any], documents: Sequence[Segment]) -> bool:
    """Whether each document is found where it should begin: padding before them would move them."""
    ids = inputs["input_ids"][0].tolist()
    return all(ids[each.start : each.start + len(each.ids)] == list(each.ids) for each in documents)


def _learns(documents: Sequence[Segment]) -> bool:
    return sum(_targets(document) for document in documents) > 0


def _targets(document: Segment) -> int:
    return sum(label != IGNORED for label in document.labels[1:])


def _padded(inputs: Mapping[str, Any], documents: Sequence[Segment]) -> dict[str, torch.Tensor]:
    """The documents in rows of their own, with what the packed row has for every token but its positions."""
    longest = max(len(document.ids) for document in documents)
    shape = inputs["input_ids"].shape
    names = [
        name
        for name, value in inputs.items()
        if torch.is_tensor(value) and value.shape == shape and name not in ("position_ids", "attention_mask")
    ]
    rows: dict[str, list[torch.Tensor]] = {name: [] for name in [*names, "attention_mask"]}
    for document in documents:
        here = slice(document.start, document.start + len(document.ids))
        for name in names:
            fill = IGNORED if name.endswith("labels") else 0
            rows[name].append(_filled(inputs[name][0, here], longest, fill))
        rows["attention_mask"].append(_filled(torch.ones(len(document.ids), dtype=torch.long), longest, 0))
    return {name: torch.stack(each) for name, each in rows.items()}


def _filled(values: torch.Tensor, length: int, fill: int) -> torch.Tensor:
    return torch.nn.functional.pad(values, (0, length - len(values)), value=fill)


def _as_row(inputs: Mapping[str, Any], document: Segment) -> Row:
    alone = _padded(inputs, [document])
    return Row(document.row, {}, alone, len(document.ids), _targets(document))
