"""The documents that a batch holds: its rows without padding, packed rows cut where their documents begin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.inspection.batches import IGNORED, Batch
from harness.records import RowPreview

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Segment:
    """One document of a batch without padding. ``row`` is the prepared row it lies in, ``start`` its first token."""

    row: int
    start: int
    ids: tuple[int, ...]
    labels: tuple[int, ...]
    positions: tuple[int, ...] | None = None

    @property
    def misplaced(self) -> list[int]:
        """Where a label is neither the id at its own position nor ignored."""
        pairs = enumerate(zip(self.ids, self.labels, strict=True))
        return [i for i, (token, label) in pairs if label not in (token, IGNORED)]


def segments(batch: Batch) -> list[Segment]:
    """The documents of a batch, without padding; a packed row gives one for each restart of its position ids."""
    ids, labels = batch.inputs["input_ids"].tolist(), batch.inputs["labels"].tolist()
    mask = batch.inputs["attention_mask"].tolist() if "attention_mask" in batch.inputs else None
    positions = batch.inputs["position_ids"].tolist() if "position_ids" in batch.inputs else None
    lengths = _lengths(batch)
    found = []
    for b, (row_ids, row_labels) in enumerate(zip(ids, labels, strict=True)):
        known = batch.features[b].get("input_ids") if len(batch.features) == len(ids) else None
        kept = _kept(
            row_ids, None if mask is None else mask[b], lengths if len(ids) == 1 else lengths[b : b + 1], known
        )
        row_positions = None if positions is None else [positions[b][i] for i in kept]
        borders = _borders(None if mask is None else mask[b], kept)
        for start, end in _documents(len(kept), row_positions, _packed_lengths(batch, b, len(ids)), borders):
            piece = kept[start:end]
            found.append(
                Segment(
                    row=batch.first_row + b,
                    start=start,
                    ids=tuple(map(row_ids.__getitem__, piece)),
                    labels=tuple(map(row_labels.__getitem__, piece)),
                    positions=None if row_positions is None else tuple(row_positions[start:end]),
                )
            )
    return found


def _lengths(batch: Batch) -> list[int]:
    return [len(feature["input_ids"]) for feature in batch.features if "input_ids" in feature]


def _kept(ids: Sequence[int], mask: Any, lengths: Sequence[int], known: Any) -> list[int]:
    """The positions that are not padding: by the mask, else by how long the prepared rows are, and where they stand."""
    if isinstance(mask, list) and mask and isinstance(mask[0], int):
        return [i for i, kept in enumerate(mask) if kept]
    length = min(len(ids), sum(lengths)) if lengths else len(ids)
    if is_padded_before(ids, known):
        return list(range(len(ids) - length, len(ids)))
    return list(range(length))


def is_padded_before(ids: Sequence[int], row: Any) -> bool:
    """Whether a prepared row stands at the end of its batch row and not at its beginning."""
    row = [int(token) for token in row or ()]
    return 0 < len(row) < len(ids) and list(ids[-len(row) :]) == row and list(ids[: len(row)]) != row


def _packed_lengths(batch: Batch, row: int, rows: int) -> list[int]:
    """The lengths of the documents in a row as packing recorded them; empty where it did not."""
    features = batch.features if rows == 1 else batch.features[row : row + 1]
    return [length for feature in features for length in feature.get("seq_lengths") or []]


def _borders(mask: Any, kept: Sequence[int]) -> list[int]:
    """Where a block mask of shape (1, tokens, tokens) keeps a token from seeing the one before it."""
    if not (isinstance(mask, list) and mask and isinstance(mask[0], list) and isinstance(mask[0][0], list)):
        return []
    # A mask is either a truth or an amount that is added to the scores: 0 where a token may be seen.
    return [n for n in range(1, len(kept)) if not _sees(mask[0][kept[n]][kept[n - 1]])]


def _sees(value: Any) -> bool:
    return value if isinstance(value, bool) else value == 0


def _documents(
    length: int, positions: Sequence[int] | None, recorded: Sequence[int], borders: Sequence[int]
) -> list[tuple[int, int]]:
    starts = {0, *borders} - {length}
    if positions is not None:
        starts |= {i for i in range(1, length) if positions[i] == 0}
    elif recorded:
        starts |= {sum(recorded[:i]) for i in range(1, len(recorded))}
    ordered = sorted(starts)
    return list(zip(ordered, [*ordered[1:], length], strict=True)) if length else []


def preview(
    found: Sequence[Segment], tokenizer: PreTrainedTokenizerBase, n: int = 3, between: str = ""
) -> tuple[RowPreview, ...]:
    """The first ``n`` documents as runs of text, each supervised or not; ``between`` shows where tokens meet."""
    return tuple(RowPreview(row, _runs(segment, tokenizer, between)) for row, segment in enumerate(found[:n]))


def _runs(segment: Segment, tokenizer: PreTrainedTokenizerBase, between: str) -> tuple[tuple[str, bool], ...]:
    runs: list[tuple[list[int], bool]] = []
    for token_id, label in zip(segment.ids, segment.labels, strict=True):
        supervised = label != IGNORED
        if not runs or runs[-1][1] != supervised:
            runs.append(([], supervised))
        runs[-1][0].append(token_id)
    return tuple((_text(ids, tokenizer, between), supervised) for ids, supervised in runs)


def _text(ids: Sequence[int], tokenizer: PreTrainedTokenizerBase, between: str) -> str:
    apart = [[token] for token in ids] if between else [ids]
    return between.join(str(tokenizer.decode(part, skip_special_tokens=False)) for part in apart)
