"""Faults of what a loss says: smoothed over the wrong tokens in training, and averaged over batches in evaluation."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from datasets import Dataset
from transformers import Trainer

from harness.zoo.exhibit import Fault, Setup
from harness.zoo.parts import CHATML, ROWS, loop_of, tokenizer_with
from harness.zoo.train_gradients import answers_trainer


def _smoothed(shifts: bool) -> Setup:
    trainer = answers_trainer(label_smoothing_factor=0.1)
    if not shifts:
        trainer.label_smoother = _unshifted(trainer.label_smoother)
    return Setup(loop=loop_of(trainer, ROWS))


def _unshifted(smoother: Any) -> Callable[..., Any]:
    def smooth(outputs: Any, labels: Any, num_items_in_batch: Any = None, **_: Any) -> Any:
        return smoother(outputs, labels, shift_labels=False, num_items_in_batch=num_items_in_batch)

    return smooth


def _judged_in_batches_of(size: int) -> Setup:
    """A trainer that keeps the checkpoint of the least evaluation loss, over short rows and long ones that repeat."""
    tokenizer = tokenizer_with(CHATML)
    short, long = tokenizer("A fox. The gate opens.")["input_ids"], tokenizer("rain " * 40)["input_ids"]
    rows = Dataset.from_list([{"input_ids": ids, "labels": ids} for ids in (short, long, short, long)])
    each_step = {"save_strategy": "steps", "eval_strategy": "steps", "save_steps": 1, "eval_steps": 1}
    trainer = answers_trainer(
        kind=partial(Trainer, eval_dataset=rows),
        load_best_model_at_end=True,
        per_device_eval_batch_size=size,
        **each_step,
    )
    return Setup(loop=loop_of(trainer, ROWS))


FAULTS = (
    Fault(
        id="train-07",
        name="Label smoothing takes the labels as they are, so the model learns to say the token that it reads",
        source="huggingface/transformers#17960",
        inject=lambda: _smoothed(shifts=False),
        caught_by=("training/the_training_loss_is_the_reference",),
        twin=lambda: _smoothed(shifts=True),
        where="in the label smoother, as it was before",
    ),
    Fault(
        id="train-08",
        name="The best checkpoint is chosen by a mean of the batches' means, which hangs on the size of the batches",
        source="huggingface/transformers#39241",
        inject=lambda: _judged_in_batches_of(1),
        caught_by=("training/the_evaluation_loss_is_the_mean_over_all_tokens",),
        twin=lambda: _judged_in_batches_of(4),
    ),
)
