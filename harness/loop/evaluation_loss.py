"""What an evaluation reports as its loss, where a decision hangs on it: the mean over tokens, or one over batches.

A mean of the batches' means depends on the size of the batches and on which rows happen to share one, so checkpoints,
runs and settings are judged by a number that moves with none of them (huggingface/transformers#39241).
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import EarlyStoppingCallback

from harness.errors import UsageError
from harness.findings import Note
from harness.inspection.batches import collated_as, evaluation_set, first_line_of
from harness.inspection.loss_run import computed_loss
from harness.inspection.scratch import borrowed_model
from harness.loop.evaluated import Evaluated, evaluated, first_rows
from harness.loop.few_rows import few_rows
from harness.loop.looked_at import Loop
from harness.records import Finding

BATCHES, ROWS = 4, 32
"""An evaluation of this many batches is enough, and of this many rows at most unless one batch has more."""

HARMLESS = 0.02
"""Share of the loss that it may be off by; what one epoch of a small fine-tuning gains over another is of this size."""

ADDITIVE = 1e-4
"""Allowed relative difference between the loss of two rows in one batch and their own, weighted with their tokens."""


def loss_is_the_mean_over_all_tokens(loop: Loop, note: Note) -> list[Finding]:
    """Where a checkpoint is chosen or a training is stopped by ``eval_loss``, it is the mean over all tokens."""
    trainer: Any = loop.trainer
    decided = what_it_decides(trainer)
    if evaluation_set(trainer) is None or decided is None:
        note("nothing is decided by eval_loss, so how it is averaged is not looked at")
        return []
    count = max(trainer.args.eval_batch_size, min(ROWS, BATCHES * trainer.args.eval_batch_size))
    try:
        found = evaluated(trainer, first_rows(trainer, count))
    except Exception as error:  # whatever the user's evaluation raises
        raise UsageError(
            f"evaluate() fails on the first rows of eval_dataset ({type(error).__name__}: {first_line_of(error)}): "
            "training would end there; see that eval_dataset is prepared as train_dataset is"
        ) from error
    if found is None:
        note("evaluate() reports no eval_loss")
        return []
    off = abs(found.loss - found.over_tokens) / max(abs(found.over_tokens), 1e-9)
    if not off > HARMLESS:
        note(f"eval_loss of the first {count} rows at most is within {off:.2%} of the mean over their tokens")
        return []
    if not _is_a_mean_over_tokens(loop):
        note("the loss is no mean over the tokens of a batch, so eval_loss is not held against one")
        return []
    return [_finding(trainer, found, decided)]


def what_it_decides(trainer: Any) -> str | None:
    """What hangs on ``eval_loss`` in this training, in words; None where nothing does."""
    args = trainer.args
    metric = args.metric_for_best_model or ("loss" if args.load_best_model_at_end else None)
    if str(args.eval_strategy) in ("no", "IntervalStrategy.NO") or metric is None or not str(metric).endswith("loss"):
        return None
    if args.load_best_model_at_end or str(getattr(args.save_strategy, "value", args.save_strategy)) == "best":
        return f"the checkpoint that is kept (metric_for_best_model={metric!r})"
    if any(isinstance(callback, EarlyStoppingCallback) for callback in trainer.callback_handler.callbacks):
        return f"when the training stops (early stopping on {metric!r})"
    return None


def _is_a_mean_over_tokens(loop: Loop) -> bool:
    """Whether two rows in one batch have the mean of their losses, each weighted with its tokens."""
    rows = few_rows(loop, 2)
    (together,) = collated_as(loop.trainer, [[row.prepared for row in rows]])
    smoother = loop.trainer.label_smoother
    with borrowed_model(loop.trainer), torch.no_grad():
        loop.trainer.label_smoother = smoother
        loss = float(computed_loss(loop.trainer, together))
        apart = sum(float(computed_loss(loop.trainer, dict(row.inputs))) * row.targets for row in rows)
    expected = apart / sum(row.targets for row in rows)
    return abs(loss - expected) <= ADDITIVE * max(1.0, abs(expected))


def _finding(trainer: Any, found: Evaluated, decided: str) -> Finding:
    sizes = ", ".join(str(part.targets) for part in found.parts)
    return Finding(
        "the evaluation loss depends on how the rows are put into batches",
        f"evaluate() on the first rows, {len(found.parts)} batches at per_device_eval_batch_size="
        f"{trainer.args.per_device_eval_batch_size} with {sizes} learned tokens",
        f"{found.over_tokens:.4f}, the mean over all tokens",
        f"{found.loss:.4f}, the mean of the batches' means; {decided} hangs on it",
        "let compute_metrics with batch_eval_metrics=True add up losses and tokens, and name what it returns in "
        "metric_for_best_model; or evaluate in batches that hold equally many learned tokens",
    )
