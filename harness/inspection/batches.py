"""The batches that reach the loss, collated as the trainer collates them."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from harness.errors import DataError, UsageError

if TYPE_CHECKING:
    from transformers import Trainer

IGNORED = -100
"""The label that torch's cross entropy leaves out (its ``ignore_index``)."""


LONGEST_RUN, LONGEST_AT_ALL = 4096, 32768
"""Tokens of a row: what a model is run on in passing, and what it is never run on; attention takes their square."""


@dataclass(frozen=True)
class Batch:
    """What ``compute_loss`` gets, with the prepared rows it was collated from.

    ``inputs`` holds tensors of shape (rows, tokens); ``features`` the prepared rows in the same order; ``first_row``
    is the index of the first of them in the training set. ``again`` is what the collator makes of the very same rows
    a second time, where the set hands out the same objects in every epoch.
    """

    inputs: Mapping[str, Any]
    features: tuple[Mapping[str, Any], ...]
    first_row: int
    again: Mapping[str, Any] | None = None


def collated(trainer: Trainer, limit: int) -> list[Batch]:
    """Batches of the first ``limit`` prepared rows, in order, as the trainer's own data loader would build them.

    Nothing runs through the model, and the random state is as it was before.

    Raises:
        DataError: the trainer has no training rows, or none are left of them.

    """
    if trainer.train_dataset is None:
        raise DataError("the trainer has no train_dataset, so there are no batches to check: give it the training rows")
    if hasattr(trainer.train_dataset, "__len__") and not len(trainer.train_dataset):
        raise DataError(
            "no training row is left after preparation: all were dropped, because nothing to learn is left of them at "
            f"max_length {getattr(trainer.args, 'max_length', None)}; raise max_length or shorten the prompts"
        )
    with _untouched(trainer):
        return _batches(_loader(trainer.get_train_dataloader), limit, trainer.args.train_batch_size)


def collated_for_evaluation(trainer: Trainer, limit: int) -> list[Batch]:
    """The same of the evaluation rows (of the first set, where there are several); nothing where there are none."""
    dataset = evaluation_set(trainer)
    if dataset is None:
        return []
    with _untouched(trainer):
        return _batches(_loader(trainer.get_eval_dataloader, dataset), limit, trainer.args.eval_batch_size)


def collated_as(trainer: Trainer, groups: Sequence[Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """What the trainer's own collator makes of each group of prepared rows, whatever the batch size is."""
    with _untouched(trainer):
        collate = _loader(trainer.get_train_dataloader).collate_fn
        return [_collate(collate, [_copied(row) for row in rows]) for rows in groups]


def drawn_rows(trainer: Trainer, limit: int) -> list[int] | None:
    """Numbers of the first ``limit`` rows that a pass draws from the training set; None where it is only read on."""
    with _untouched(trainer):
        sampler = getattr(_loader(trainer.get_train_dataloader), "batch_sampler", None)
        drawn = list(islice(chain.from_iterable(sampler or ()), limit))
    return drawn if drawn and all(isinstance(number, int) for number in drawn) else None


def evaluation_set(trainer: Trainer) -> Any:
    """The trainer's evaluation set, the first where there are several; None where there is none."""
    dataset = trainer.eval_dataset
    return next(iter(dataset.values()), None) if isinstance(dataset, dict) else dataset


def _loader(build: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return build(*arguments)
    except Exception as error:  # whatever the user's loader, or accelerate, raises
        if "AcceleratorState" in str(error):
            raise UsageError(
                "the trainer's data loader cannot be built, since accelerate's state was reset after the trainer was "
                "made (building another TrainingArguments or SFTConfig does so): build the trainer last"
            ) from error
        raise UsageError(
            f"the trainer's data loader cannot be built ({type(error).__name__}: {first_line_of(error)}): train() "
            "would fail in the same way; look at the data set, the sampler and dataloader_* of the arguments"
        ) from error


def first_line_of(error: BaseException) -> str:
    """What an exception of the user's code says, on one line."""
    return next(iter(str(error).strip().splitlines()), "no message")


def _batches(loader: Any, limit: int, size: int) -> list[Batch]:
    dataset = loader.dataset
    features = _first_rows(dataset, limit)
    keeps_rows = isinstance(dataset, list) or (hasattr(dataset, "__len__") and dataset[0] is dataset[0])
    batches = []
    for start in range(0, len(features), max(1, size)):
        chosen = features[start : start + size]
        # A collator that changes its rows must not change what it is compared with.
        given: list[Mapping[str, Any]] = [_copied(row) for row in chosen]
        inputs = _collate(loader.collate_fn, given)
        again = _collate(loader.collate_fn, given) if keeps_rows else None
        batches.append(Batch(inputs, tuple(chosen), start, again))
    return batches


def _copied(row: Mapping[str, Any]) -> dict[str, Any]:
    """A copy that shares nothing; lists of numbers, the bulk of a row, are copied as they are."""
    return {
        key: list(value) if isinstance(value, list) and value and isinstance(value[0], int) else copy.deepcopy(value)
        for key, value in row.items()
    }


def _collate(collate: Any, rows: list[Mapping[str, Any]]) -> dict[str, Any]:
    theirs = getattr(collate, "data_collator", collate)  # transformers puts one of its own around it
    name = getattr(theirs, "__name__", type(theirs).__name__)
    try:
        batch = dict(collate(rows))
    except (Exception, SystemExit) as error:  # whatever the user's collator raises
        raise UsageError(
            f"the trainer's data collator ({name}) fails on its own prepared rows with {type(error).__name__}: "
            f"{first_line_of(error)}: train() would fail in the same way; use a collator that pads labels too, and "
            "that leaves tensors on the CPU"
        ) from error
    lacking = [key for key in ("input_ids", "labels") if key not in batch]
    if lacking:
        raise UsageError(
            f"the trainer's data collator ({name}) gives {', '.join(map(str, batch)) or 'nothing'} and no "
            f"{' and no '.join(lacking)}, so what is learned of a text cannot be seen: let it give both"
        )
    return batch


def taken(dataset: Any, count: int) -> list[Mapping[str, Any]]:
    """The first rows of a data set, at hand or streamed; at most ``count``."""
    if hasattr(dataset, "__len__"):
        return [dataset[i] for i in range(min(count, len(dataset)))]
    return list(islice(iter(dataset), count))


def _first_rows(dataset: Any, limit: int) -> list[Mapping[str, Any]]:
    if not hasattr(dataset, "__len__") and iter(dataset) is iter(dataset):
        raise UsageError(
            f"the data set ({type(dataset).__name__}) can be read only once, so rows that are looked at here would be "
            "missing in the training: let __iter__ begin anew at each call, or give a list of the first rows"
        )
    return taken(dataset, limit)


def light(batches: Sequence[Batch]) -> list[Batch]:
    """The batches that a model can be run on in passing: of short rows, or else the one of the shortest, if any."""
    short = [batch for batch in batches if _width(batch) <= LONGEST_RUN]
    return short or [batch for batch in sorted(batches, key=_width)[:1] if _width(batch) <= LONGEST_AT_ALL]


def _width(batch: Batch) -> int:
    return max(map(len, batch.inputs["input_ids"]))


def brought_masks(dataset: Any, limit: int) -> dict[str, tuple[tuple[int, ...], ...]]:
    """Columns of prepared rows that hold a 0 or a 1 for every token, by name; those of attention and kind left out."""
    others = {"input_ids", "labels", "attention_mask", "token_type_ids", "special_tokens_mask", "position_ids"}
    names = set(getattr(dataset, "column_names", None) or ()) - others
    if not names or "input_ids" not in (dataset.column_names or ()) or not hasattr(dataset, "__len__"):
        return {}
    first = dataset[0]
    chosen = [name for name in sorted(names) if _is_mask(first.get(name), first["input_ids"])]
    rows = [dataset[number] for number in range(min(limit, len(dataset)))] if chosen else []
    return {name: tuple(tuple(int(bit) for bit in row[name]) for row in rows) for name in chosen}


def _is_mask(value: Any, ids: Any) -> bool:
    return isinstance(value, list) and len(value) == len(ids) and all(bit in (0, 1) for bit in value)


def dropped_rows(dataset: Any) -> int:
    """How many rows trl's filter took out of a training set because every label of theirs is ignored.

    They are still in the table behind the set. At most the first 1,000 rows that are not in the set are looked at.
    """
    indices = getattr(dataset, "_indices", None)  # datasets has no public name for what select and filter leave
    if "labels" not in (getattr(dataset, "column_names", None) or ()) or indices is None:
        return 0
    behind = dataset.data.column("labels")
    left = set(indices.column(0).to_pylist())
    gone = islice((number for number in range(len(behind)) if number not in left), 1000)
    return sum(all(label == IGNORED for label in behind[number].as_py()) for number in gone)


@contextmanager
def _untouched(trainer: Trainer) -> Iterator[None]:
    """Give back the random states and the accelerator's list of loaders as they were."""
    import numpy as np
    import torch

    loaders, attributes = list(trainer.accelerator._dataloaders), dict(vars(trainer))
    python_state, numpy_state = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)
            trainer.accelerator._dataloaders[:] = loaders
            vars(trainer).clear()
            vars(trainer).update(attributes)
