"""Faults of gradient accumulation: several micro-batches make another step than one batch of the same rows."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from transformers import DataCollatorForSeq2Seq, Trainer

from harness.zoo.exhibit import Fault, Setup
from harness.zoo.mask_loss import mean_of_tokens
from harness.zoo.parts import CHATML, ROWS, last_answers, loop_of, plain_trainer, tokenizer_with

ADD_UP = "training/gradients_of_micro_batches_add_up"


class _OwnMean(Trainer):  # type: ignore[misc]  # transformers has no types
    """A loss of the user's own: the mean over the tokens of the micro-batch, whatever else is in the step."""

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **_: Any) -> Any:
        outputs = model(**inputs)
        return (outputs.loss, outputs) if return_outputs else outputs.loss


class _OwnShare(Trainer):  # type: ignore[misc]  # transformers has no types
    """The same as a share of all tokens of the step."""

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        outputs = model(**inputs)
        loss = mean_of_tokens(outputs, inputs["labels"], num_items_in_batch=num_items_in_batch)
        return (loss, outputs) if return_outputs else loss


def answers_trainer(kind: Any = Trainer, **options: Any) -> Any:
    """A transformers trainer of the last answers, which are of unlike length, as an author of an own loss has it."""
    tokenizer = tokenizer_with(CHATML)
    settings = {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 3} | options
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`label_smoothing_factor` is deprecated", FutureWarning)
        return plain_trainer(
            tokenizer, last_answers(tokenizer), DataCollatorForSeq2Seq(tokenizer), kind=kind, **settings
        )


def _accumulated(kind: type[Trainer], scaled: bool | None = None) -> Setup:
    trainer = answers_trainer(kind)
    if scaled is not None:
        trainer.loss_is_scaled_for_ga = scaled
    return Setup(loop=loop_of(trainer, ROWS))


def _smoothed(change: Callable[[Any], Callable[..., torch.Tensor]]) -> Setup:
    trainer = answers_trainer(label_smoothing_factor=0.1)
    trainer.label_smoother = change(trainer.label_smoother)
    return Setup(loop=loop_of(trainer, ROWS))


def _uncounted(smoother: Any) -> Callable[..., torch.Tensor]:
    def smooth(outputs: Any, labels: Any, shift_labels: bool = False, **_: Any) -> Any:
        return smoother(outputs, labels, shift_labels=shift_labels)

    return smooth


FAULTS = (
    Fault(
        id="train-01",
        name="The loss of a step is the mean of its micro-batches' means, so tokens of short answers weigh more",
        source="huggingface/transformers#34191",
        inject=lambda: _accumulated(_OwnMean, scaled=False),
        caught_by=(ADD_UP,),
        twin=lambda: _accumulated(_OwnShare, scaled=True),
        where="in compute_loss",
    ),
    Fault(
        id="train-02",
        name="A loss of one's own is taken for one that is scaled already, so gradients are as often too large as "
        "there are micro-batches",
        source="huggingface/transformers#37766",
        inject=lambda: _accumulated(_OwnMean, scaled=True),
        caught_by=(ADD_UP,),
        twin=lambda: _accumulated(Trainer),
        where="in compute_loss",
    ),
    Fault(
        id="train-03",
        name="Label smoothing does not count the tokens of the other micro-batches",
        source="huggingface/transformers#46731",
        inject=lambda: _smoothed(_uncounted),
        caught_by=(ADD_UP,),
        twin=lambda: _smoothed(lambda smoother: smoother),
        where="in the label smoother, as it was before",
    ),
)
