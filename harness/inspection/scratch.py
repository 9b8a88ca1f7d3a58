"""A trainer's model lent out for an experiment: whatever is done to its weights, it comes back bit for bit."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from harness.inspection.loss_run import left_as_it_was

if TYPE_CHECKING:
    from transformers import Trainer


@contextmanager
def borrowed_model(trainer: Trainer) -> Iterator[list[torch.nn.Parameter]]:
    """The trainable weights of the trainer's model, in float32 and free to change; evaluation mode, no dropout.

    Weights, buffers, gradients, modes, random states and what ``compute_loss`` counts are put back. What does not train
    is not copied unless it is in half precision.
    """
    import numpy as np

    model: Any = trainer.model
    tensors = [*model.parameters(), *model.buffers()]
    trained = {id(weight) for weight in model.parameters() if weight.requires_grad}
    buffers = {id(buffer) for buffer in model.buffers()}
    kept = [(tensor, tensor.data, tensor.grad) for tensor in tensors]
    modes = [(module, module.training) for module in model.modules()]
    states = random.getstate(), np.random.get_state()
    devices = [model.device] if model.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), left_as_it_was(trainer):
        try:
            for tensor, data, _ in kept:
                half = data.dtype in (torch.float16, torch.bfloat16)
                if half or id(tensor) in trained or id(tensor) in buffers:
                    tensor.data = data.to(torch.float32 if half else data.dtype, copy=True)
                tensor.grad = None
            with torch.autocast(model.device.type, enabled=False):
                yield [weight for weight in model.parameters() if weight.requires_grad]
        finally:
            for tensor, data, gradient in kept:
                tensor.data, tensor.grad = data, gradient
            for module, training in modes:
                module.training = training
            random.setstate(states[0])
            np.random.set_state(states[1])
