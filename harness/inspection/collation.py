"""What the collator makes of prepared rows: labels, padding and packed documents."""

from __future__ import annotations

from harness.chat.control import name_token
from harness.inspection.batches import IGNORED, Batch
from harness.inspection.documents import Segment, is_padded_before, segments
from harness.inspection.matching import Inspection, packed_rows, place
from harness.records import Finding


def labels_are_the_ids(seen: Inspection) -> list[Finding]:
    """A label is the id at its own position, or ignored: the model does the shift."""
    findings = []
    for match in seen.matches:
        wrong = match.segment.misplaced
        if wrong:
            at, label = wrong[0], match.segment.labels[wrong[0]]
            shifted = at + 1 < len(match.segment.ids) and match.segment.ids[at + 1] == label
            findings.append(
                Finding(
                    "labels are shifted before the model shifts them again" if shifted else "a label is not its id",
                    place(match, at),
                    f"{name_token(seen.tokenizer, match.segment.ids[at])} or -100",
                    f"{label}, and {len(wrong)} such labels in the row",
                    "give the model labels that are a copy of input_ids with -100 where nothing is learned",
                )
            )
    return findings


def padding_is_ignored(seen: Inspection) -> list[Finding]:
    """Padding has no label and no attention, and no real token is taken for padding."""
    return [finding for batch in seen.batches for finding in (*_padding_of(batch), *_padding_without_mask(batch))]


def _padding_without_mask(batch: Batch) -> list[Finding]:
    if "attention_mask" in batch.inputs or len(batch.features) != len(batch.inputs["input_ids"]):
        return []
    rows = zip(batch.inputs["input_ids"].tolist(), batch.features, strict=True)
    padded = [b for b, (ids, feature) in enumerate(rows) if is_padded_before(ids, feature.get("input_ids"))]
    return [
        Finding(
            "padding stands before a row and is read as its text",
            f"prepared row {batch.first_row + b}",
            "an attention_mask of 0 on the padding, or padding on the right",
            "a batch without attention_mask",
            "return attention_mask from the collator",
        )
        for b in padded[:1]
    ]


def _padding_of(batch: Batch) -> list[Finding]:
    if "attention_mask" not in batch.inputs or batch.inputs["attention_mask"].dim() != 2:
        return []
    findings = []
    ids, labels = batch.inputs["input_ids"].tolist(), batch.inputs["labels"].tolist()
    masks = batch.inputs["attention_mask"].tolist()
    for b, (mask, row_labels) in enumerate(zip(masks, labels, strict=True)):
        where = f"prepared row {batch.first_row + b}"
        learned = [
            i for i, (kept, label) in enumerate(zip(mask, row_labels, strict=True)) if not kept and label != IGNORED
        ]
        if learned:
            findings.append(
                Finding(
                    "padding is supervised",
                    f"{where}, token {learned[0]}",
                    "labels of -100 on padding",
                    f"{len(learned)} labels on padding",
                    "pad labels with -100, as trl's DataCollatorForLanguageModeling does",
                )
            )
        row = _prepared_row(batch, b)
        if row is not None and (covered := _wrongly_covered(ids[b], mask, row)):
            findings.append(
                Finding(
                    "the attention mask does not cover the row",
                    where,
                    f"{len(row)} tokens, as many as the prepared row has",
                    covered,
                    "build attention_mask from the rows' lengths, not by comparing ids with pad_token_id",
                )
            )
    return findings


def _prepared_row(batch: Batch, row: int) -> list[int] | None:
    """The ids of a prepared row without the padding that it brings itself; None where rows are joined."""
    if len(batch.features) != len(batch.inputs["input_ids"]) or "input_ids" not in batch.features[row]:
        return None
    feature = batch.features[row]
    given = feature.get("attention_mask")
    return [int(token) for n, token in enumerate(feature["input_ids"]) if given is None or given[n]]


def _wrongly_covered(ids: list[int], mask: list[int], row: list[int]) -> str:
    """What is wrong with a mask: it hides tokens, or shows padding before them; padding after them does no harm."""
    if sum(mask) < len(row):
        return f"{sum(mask)}"
    seen = [token for token, kept in zip(ids, mask, strict=True) if kept]
    before = next((n for n in range(len(seen)) if seen[n : n + len(row)] == row), 0)
    return f"{sum(mask)}, {before} of them padding before the row" if before else ""


def collator_keeps_labels(seen: Inspection) -> list[Finding]:
    """The collator passes on the labels of the prepared rows (the first of a document does not count)."""
    findings = []
    for batch in seen.batches:
        if not all("labels" in feature for feature in batch.features) or not _masks_anything(batch):
            continue
        prepared = [label for feature in batch.features for label in feature["labels"]]
        given = [(segment, i) for segment in segments(batch) for i in range(len(segment.labels))]
        if len(prepared) != len(given):
            continue
        wrong = [
            (segment, i, label)
            for label, (segment, i) in zip(prepared, given, strict=True)
            if i > 0 and segment.labels[i] != label
        ]
        if wrong:
            segment, i, label = wrong[0]
            findings.append(
                Finding(
                    "the collator changes the labels of the prepared rows",
                    f"prepared row {segment.row}, token {segment.start + i}",
                    str(label),
                    f"{segment.labels[i]}, and {len(wrong)} such labels in the batch",
                    "use a collator that pads labels and leaves them otherwise: trl's, or DataCollatorForSeq2Seq",
                )
            )
    return findings


def masks_of_rows_are_used(seen: Inspection) -> list[Finding]:
    """Where prepared rows bring a mask of their own, what it leaves out is not learned."""
    for name, rows in seen.brought_masks.items():
        for match in seen.matches:
            bits = rows[match.segment.row] if match.segment.row < len(rows) else ()
            labels = match.segment.labels
            if match.segment.start or len(bits) != len(labels) or not any(bits):
                continue
            learned = [i for i, bit in enumerate(bits) if i > 0 and not bit and labels[i] != IGNORED]
            if learned:
                return [
                    Finding(
                        f"the rows bring a {name}, and tokens that it leaves out are learned all the same",
                        place(match, learned[0]),
                        f"labels of -100 where {name} is 0",
                        f"{len(learned)} such tokens are learned",
                        "let the trainer use it (completion_only_loss=True or assistant_only_loss=True in trl), or "
                        "bring labels",
                    )
                ]
    return []


def _masks_anything(batch: Batch) -> bool:
    """Whether the prepared labels say anything: where none is ignored, masking may be left to the collator."""
    return any(IGNORED in feature["labels"][1:] for feature in batch.features)


def collator_leaves_its_rows_alone(seen: Inspection) -> list[Finding]:
    """Collating the same rows a second time, as the next epoch does, gives the same labels."""
    for batch in seen.batches:
        if batch.again is None or batch.inputs["labels"].tolist() == batch.again["labels"].tolist():
            continue
        return [
            Finding(
                "the collator changes the rows that it is given, so the second epoch trains on other labels",
                f"prepared rows {batch.first_row} to {batch.first_row + len(batch.features) - 1}",
                "the same labels each time",
                "other labels the second time",
                "let the collator copy a row before it changes it",
            )
        ]
    return []


def packed_documents_are_apart(seen: Inspection) -> list[Finding]:
    """In packed rows position ids restart, no 2-D mask joins the documents, and no label crosses a boundary."""
    findings = []
    for batch, packed in packed_rows(seen):
        mask = batch.inputs.get("attention_mask")
        if mask is not None and mask.dim() == 2:
            segment = packed[1].segment
            findings.append(_joined(segment, "a 2-D attention mask", "leave attention_mask out of packed batches"))
        for segment in (match.segment for match in packed):
            if segment.positions is None:
                findings.append(_joined(segment, "no position_ids", "collate packed rows with padding_free=True"))
            elif list(segment.positions) != list(range(len(segment.ids))):
                findings.append(_joined(segment, f"position_ids {segment.positions[:6]}", "restart position_ids at 0"))
            if segment.start > 0 and segment.labels[0] != IGNORED:
                findings.append(_joined(segment, "a label on the document's first token", "set that label to -100"))
    return findings


def _joined(segment: Segment, found: str, remedy: str) -> Finding:
    return Finding(
        "documents packed into one row are not kept apart",
        f"prepared row {segment.row}, the document that starts at token {segment.start}",
        "position ids from 0 on, no 2-D attention mask, no label on the first token",
        found,
        remedy,
    )
