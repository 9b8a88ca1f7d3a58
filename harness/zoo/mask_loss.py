"""Faults of a loss of one's own: the batch is right, and what is made of it is another average."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from transformers import DataCollatorForSeq2Seq

from harness.zoo.exhibit import Fault, Setup
from harness.zoo.parts import CHATML, ROWS, last_answers, plain_trainer, tokenizer_with

Loss = Callable[..., torch.Tensor]


def _of_each_target(logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The negative log-likelihood of every next token, of shape (rows, tokens - 1), and which of them count."""
    targets = labels[:, 1:]
    each = torch.nn.functional.cross_entropy(logits[:, :-1].float().transpose(1, 2), targets, reduction="none")
    return each, targets != -100


def mean_of_means(outputs: Any, labels: torch.Tensor, **_: Any) -> torch.Tensor:
    """The mean of the rows' means: a short answer's token weighs more than a long one's."""
    each, counts = _of_each_target(outputs.logits, labels)
    return ((each * counts).sum(1) / counts.sum(1)).mean()


def mean_of_tokens(outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
    """The mean over all tokens that are learned, in all batches of an optimizer step where there are several."""
    each, counts = _of_each_target(outputs.logits, labels)
    return (each * counts).sum() / (counts.sum() if num_items_in_batch is None else num_items_in_batch)


def _averaged_by(loss: Loss) -> Setup:
    """A trainer of the last answers with a ``compute_loss_func`` of the user's."""
    tokenizer = tokenizer_with(CHATML)
    trainer = plain_trainer(tokenizer, last_answers(tokenizer), DataCollatorForSeq2Seq(tokenizer))
    trainer.compute_loss_func = loss
    return Setup(trainer=trainer, rows=ROWS)


FAULTS = (
    Fault(
        id="mask-22",
        name="The loss is the mean of the rows' means, so a token's weight depends on its row's length",
        source="huggingface/trl#2175",
        inject=lambda: _averaged_by(mean_of_means),
        caught_by=("mask/the_loss_is_the_mean_over_supervised_tokens",),
        twin=lambda: _averaged_by(mean_of_tokens),
        where="in compute_loss_func",
    ),
)
