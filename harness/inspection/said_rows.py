"""The rows of a trainer as text, for what is looked at without tokens: its own columns where it keeps them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness.dataset.rows_and_samples import RowsAndSamples, as_samples
from harness.inspection.batches import IGNORED
from harness.inspection.matching import Inspection

if TYPE_CHECKING:
    from transformers import Trainer

    from harness.inspection.documents import Segment

COLUMNS = (("messages",), ("prompt", "completion"), ("text",))
"""The columns that hold a row's text, as trl names them; beside prepared ids a trainer may keep them or not."""


def said(trainer: Trainer, seen: Inspection, limit: int | None = None) -> RowsAndSamples:
    """What a trainer trains on, the first ``limit`` rows or all of them, beside what it evaluates on."""
    held_out = evaluation_text(trainer, seen).items()
    rows = tuple(training_text(trainer, seen, limit))
    return RowsAndSamples(rows, tuple(as_samples(rows, name) for name, rows in held_out))


def training_text(trainer: Trainer, seen: Inspection, limit: int | None = None) -> list[Mapping[str, Any]]:
    """The training rows by their text columns; without such columns, what the inspected documents say."""
    return _kept(trainer.train_dataset, limit) or list(_decoded(seen))


def evaluation_text(trainer: Trainer, seen: Inspection) -> dict[str, list[Mapping[str, Any]]]:
    """The same of every evaluation set, by name; without text columns, of the first set alone."""
    given = trainer.eval_dataset
    if given is None:
        return {}
    named = given if isinstance(given, dict) else {"eval_dataset": given}
    texts = {str(name): _kept(dataset) for name, dataset in named.items()}
    first = next(iter(texts))
    if not texts[first] and seen.evaluation is not None:
        texts[first] = list(_decoded(seen.evaluation))
    return {name: rows for name, rows in texts.items() if rows}


def _kept(dataset: Any, limit: int | None = None) -> list[Mapping[str, Any]]:
    columns = set(getattr(dataset, "column_names", None) or ())
    kept = next((names for names in COLUMNS if columns.issuperset(names)), None)
    if kept is None or not hasattr(dataset, "select_columns") or not hasattr(dataset, "__len__"):
        return []
    texts = dataset.select_columns(list(kept))
    return list(texts if limit is None else texts.select(range(min(limit, len(texts)))))


def _decoded(seen: Inspection) -> Iterator[Mapping[str, Any]]:
    for match in seen.matches:
        yield _row(match.segment, seen)


def _row(document: Segment, seen: Inspection) -> Mapping[str, str]:
    """A document whose learned tokens are the completion of what is before the first of them."""
    first = next((at for at, label in enumerate(document.labels[1:], 1) if label != IGNORED), 1)
    whole = first == 1
    before, learned = document.ids[:first], document.ids[first:]
    if whole:
        return {"text": _text(document.ids, seen)}
    return {"prompt": _text(before, seen), "completion": _text(learned, seen)}


def _text(ids: Sequence[int], seen: Inspection) -> str:
    return str(seen.tokenizer.decode(list(ids), skip_special_tokens=True))
