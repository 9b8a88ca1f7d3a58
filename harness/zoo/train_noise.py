"""Faults of noise on embeddings: there in evaluation, too wide, or not there at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from transformers import Trainer

from harness.zoo.exhibit import Fault, Setup
from harness.zoo.parts import ROWS, loop_of, sft_trainer

REPEATABLE = "training/evaluation_is_repeatable_and_without_noise"
SCALE = "training/noise_on_embeddings_has_the_papers_scale"
ALPHA = 5.0

Hook = Callable[[Any, Any, torch.Tensor], torch.Tensor]


def _even(output: torch.Tensor, power: float = 0.5) -> torch.Tensor:
    width = ALPHA / (output.size(1) * output.size(2)) ** power
    return output + torch.empty_like(output).uniform_(-width, width)


def _always(_module: Any, _given: Any, output: torch.Tensor) -> torch.Tensor:
    return _even(output)


def _in_training(module: Any, _given: Any, output: torch.Tensor) -> torch.Tensor:
    return _even(output) if module.training else output


def _with_hook(hook: Hook) -> Setup:
    """A trainer whose author attaches noise by hand."""
    trainer = sft_trainer()
    trainer.model.get_input_embeddings().register_forward_hook(hook)
    return Setup(loop=loop_of(trainer, ROWS))


def _asked(change: Callable[[Any], None]) -> Setup:
    """A trainer that is asked for noise, by trl's own argument."""
    trainer = sft_trainer(neftune_noise_alpha=ALPHA)
    change(trainer)
    return Setup(loop=loop_of(trainer, ROWS))


def _lost(trainer: Trainer) -> None:
    """The argument is there, and what reads it does not get it."""
    trainer.neftune_noise_alpha = None


FAULTS = (
    Fault(
        id="train-10",
        name="Noise on the embeddings is there in evaluation too, as its hook does not ask for the mode",
        source="NVIDIA-NeMo/Automodel#1686",
        inject=lambda: _with_hook(_always),
        caught_by=(REPEATABLE,),
        twin=lambda: _with_hook(_in_training),
    ),
    Fault(
        id="train-11",
        name="Noise on the embeddings is asked for and never attached",
        source="huggingface/trl#1841",
        inject=lambda: _asked(_lost),
        caught_by=(SCALE,),
        twin=lambda: _asked(lambda _: None),
        where="in the trainer, after its arguments are read",
    ),
)
