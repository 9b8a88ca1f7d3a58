"""An evaluation of a few rows by the trainer's own ``evaluate()``, and what it is made of; no trace is left."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from transformers import set_seed
from transformers.trainer_callback import CallbackHandler, DefaultFlowCallback

from harness.inspection.batches import IGNORED, evaluation_set, taken
from harness.loop.put_back import put_back
from harness.loop.short_run import unsaid

if TYPE_CHECKING:
    from transformers import Trainer


@dataclass(frozen=True)
class Part:
    """A batch of an evaluation: its loss in nats, how many labels count in it, and a digest of ids and labels."""

    loss: float
    targets: int
    digest: str


@dataclass(frozen=True)
class Evaluated:
    """The ``eval_loss`` that was reported, and the batches that it is made of."""

    loss: float
    parts: tuple[Part, ...]

    @property
    def over_tokens(self) -> float:
        """The mean over all tokens that count, where the loss of a batch is the mean over those of the batch."""
        return sum(part.loss * part.targets for part in self.parts) / sum(part.targets for part in self.parts)


def evaluated(trainer: Trainer, rows: Any, seed: int = 0) -> Evaluated | None:
    """Evaluate ``rows``, a data set; None where no loss comes of it. The trainer is the same afterwards.

    Whatever the user's evaluation raises is passed on.
    """
    parts: list[Part] = []
    with put_back(trainer), unsaid():
        _alone(trainer)
        predict: Any = trainer.prediction_step

        def recorded(model: Any, inputs: Mapping[str, Any], *given: Any, **options: Any) -> Any:
            targets = int((torch.as_tensor(inputs["labels"])[..., 1:] != IGNORED).sum())
            held = [torch.as_tensor(inputs[name]).tolist() for name in ("input_ids", "labels")]
            digest = hashlib.sha256(repr(held).encode()).hexdigest()
            found = predict(model, inputs, *given, **options)
            parts.append(Part(float(found[0]) if found[0] is not None else float("nan"), targets, digest))
            return found

        trainer.prediction_step = recorded
        set_seed(seed)
        reported = trainer.evaluate(eval_dataset=rows).get("eval_loss")
    if reported is None or not parts or not any(part.targets for part in parts):
        return None
    return Evaluated(float(reported), tuple(part for part in parts if part.targets))


def _alone(trainer: Any) -> None:
    """Nobody is told of the evaluation, no metric beside the loss is computed, and weights keep their precision."""
    handler = trainer.callback_handler
    trainer.callback_handler = CallbackHandler(
        [DefaultFlowCallback()], handler.model, handler.processing_class, handler.optimizer, handler.lr_scheduler
    )
    trainer.state = copy.deepcopy(trainer.state)
    trainer.compute_metrics = None
    trainer.args.bf16_full_eval = trainer.args.fp16_full_eval = False
    trainer.args.disable_tqdm = True


def first_rows(trainer: Trainer, count: int) -> Any:
    """The first rows of the evaluation set, of the training set where there is none."""
    dataset = evaluation_set(trainer)
    return _first(trainer.train_dataset if dataset is None else dataset, count)


def reported(trainer: Trainer, count: int) -> frozenset[str]:
    """The names of all that an evaluation returns, by one of the first rows of every set with the user's own metrics.

    Whatever the user's evaluation raises is passed on.
    """
    sets: Any = trainer.eval_dataset
    named = isinstance(sets, Mapping) and not hasattr(sets, "column_names")
    rows = {name: _first(each, count) for name, each in sets.items()} if named else _first(sets, count)
    metrics = trainer.compute_metrics
    with put_back(trainer), unsaid():
        _alone(trainer)
        trainer.compute_metrics = metrics
        return frozenset(trainer.evaluate(eval_dataset=rows))


def _first(dataset: Any, count: int) -> Any:
    if hasattr(dataset, "select"):
        return dataset.select(range(min(count, len(dataset))))
    return taken(dataset, count)
