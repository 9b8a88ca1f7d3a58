"""Whether the checkpoint that is kept as the best one is the best: which way the metric that chooses it points."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainerCallback
from transformers.trainer_utils import speed_metrics

from harness.findings import Note
from harness.inspection.batches import IGNORED, collated_for_evaluation, first_line_of
from harness.loop.evaluated import reported
from harness.loop.looked_at import Loop
from harness.records import Finding

if TYPE_CHECKING:
    from transformers import Trainer

ROWS = 4

FALLING = ("loss", "perplexity", "ppl", "nll", "error", "err", "wer", "cer", "ter", "mae", "mse", "rmse", "distance")
"""Words for what is better when it is less, by which a metric is known that cannot be tried out."""


def the_best_checkpoint_is_the_best(loop: Loop, note: Note) -> list[Finding]:
    """The metric that chooses the checkpoint rises or falls as ``greater_is_better`` says.

    The trainer's own ``compute_metrics`` is asked twice, about perfect and about useless predictions; only where it
    cannot be asked does the metric's name decide.
    """
    trainer: Any = loop.trainer
    args = trainer.args
    metric = args.metric_for_best_model
    if metric is None:
        return []
    unfit = _of_the_machine(str(metric)) or _missing(trainer, str(metric), note)
    if unfit is not None:
        return [unfit]
    if args.greater_is_better is None:
        return []
    tried = _tried(trainer, str(metric).removeprefix("eval_"))
    rises = tried if tried is not None else _rises_by_name(str(metric))
    if rises is None:
        note(
            f"whether {metric} is better when it rises cannot be tried here; greater_is_better={args.greater_is_better}"
        )
        return []
    if rises == args.greater_is_better:
        return []
    how = "on perfect predictions against useless ones" if tried is not None else "by its name"
    return [
        Finding(
            "the checkpoint that is kept as the best is the worst",
            f"metric_for_best_model={metric!r}",
            f"greater_is_better={rises}: a better model has a {'higher' if rises else 'lower'} value, {how}",
            f"greater_is_better={args.greater_is_better}, which transformers assumes of every metric whose name does "
            "not end in 'loss'",
            f"set greater_is_better={rises}",
        )
    ]


def _of_the_machine(metric: str) -> Finding | None:
    """A number that says how fast the evaluation was."""
    named = f"eval_{metric.removeprefix('eval_')}"
    if named not in speed_metrics("eval", 0.0, num_samples=1, num_steps=1, num_tokens=1):
        return None
    return Finding(
        "the checkpoint is chosen by how fast the machine was",
        f"metric_for_best_model={metric!r}",
        "a number that tells how good the model is",
        "one that transformers takes of the time that the evaluation took",
        "name a metric that compute_metrics returns, or eval_loss",
    )


def _missing(trainer: Any, metric: str, note: Note) -> Finding | None:
    """A metric that no evaluation returns; where the user's callbacks may still add it nothing is said."""
    if trainer.eval_dataset is None or str(trainer.args.eval_strategy) in ("no", "IntervalStrategy.NO"):
        return None
    if any(_may_add(callback) for callback in trainer.callback_handler.callbacks):
        return None
    try:
        names = reported(trainer, ROWS)
    except Exception as error:  # whatever the user's evaluation raises on a few rows
        note(f"an evaluation of {ROWS} rows fails ({type(error).__name__}: {first_line_of(error)})")
        return None
    if f"eval_{metric.removeprefix('eval_')}" in names:
        return None
    return Finding(
        "the metric that chooses the checkpoint is none that an evaluation returns",
        f"metric_for_best_model={metric!r}",
        f"one of {', '.join(sorted(names))}",
        "train() ends with a KeyError at its first evaluation",
        "name a metric that compute_metrics returns; of several evaluation sets each has its own, such as "
        "eval_<name>_loss",
    )


def _may_add(callback: TrainerCallback) -> bool:
    own = type(callback).on_evaluate is not TrainerCallback.on_evaluate
    return own and not type(callback).__module__.startswith("transformers.")


def _tried(trainer: Trainer, metric: str) -> bool | None:
    """Whether the metric is higher on perfect predictions than on useless ones; None where that cannot be told."""
    if trainer.compute_metrics is None or trainer.args.batch_eval_metrics:
        return None
    batches = collated_for_evaluation(trainer, ROWS)
    if not batches:
        return None
    labels = torch.as_tensor(batches[0].inputs["labels"])
    perfect, useless = (_value(trainer, metric, labels, right=right) for right in (True, False))
    if perfect is None or useless is None or perfect == useless:
        return None
    return perfect > useless


def _value(trainer: Any, metric: str, labels: torch.Tensor, *, right: bool) -> float | None:
    from transformers import EvalPrediction

    logits = _logits(trainer, labels, right=right)
    prepare = trainer.preprocess_logits_for_metrics
    try:
        predictions = prepare(logits, labels) if prepare is not None else logits
        predictions = predictions[0] if isinstance(predictions, tuple) else predictions
        asked = EvalPrediction(predictions=predictions.numpy(), label_ids=labels.numpy())
        values = {str(key).removeprefix("eval_"): value for key, value in trainer.compute_metrics(asked).items()}
        return float(values[metric])
    except Exception:  # whatever the user's code raises on predictions that are not its model's
        return None


def _logits(trainer: Any, labels: torch.Tensor, *, right: bool) -> torch.Tensor:
    """Logits of shape (rows, tokens, vocabulary) that name the next label with certainty, or another token."""
    width = int(trainer.model.get_input_embeddings().weight.shape[0])
    following = torch.roll(labels, -1, dims=1)
    following = torch.where(following == IGNORED, 0, following)
    if not right:
        following = (following + 1) % width
    return 20.0 * torch.nn.functional.one_hot(following, width).float()


def _rises_by_name(metric: str) -> bool | None:
    words = metric.lower().replace("-", "_").split("_")
    return False if any(word in FALLING for word in words) else None
