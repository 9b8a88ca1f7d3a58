"""A trainer's own loss, computed on a batch without leaving a trace in the trainer."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from harness.errors import UsageError
from harness.inspection.batches import Batch, first_line_of

if TYPE_CHECKING:
    from transformers import Trainer


def computed_loss(trainer: Trainer, inputs: Mapping[str, Any], num_items_in_batch: int | None = None) -> torch.Tensor:
    """What the trainer's ``compute_loss`` makes of a batch, on the device of its model.

    Raises:
        UsageError: it fails, as it would in training.

    """
    device = next(trainer.model.parameters()).device
    given = {key: value.to(device) if hasattr(value, "to") else value for key, value in inputs.items()}
    count = {} if num_items_in_batch is None else {"num_items_in_batch": torch.tensor(num_items_in_batch)}
    try:
        loss: torch.Tensor = trainer.compute_loss(trainer.model, given, **count)
    except Exception as error:  # whatever the user's compute_loss raises
        raise UsageError(
            f"the trainer's compute_loss fails on its own batch ({type(error).__name__}: {first_line_of(error)}): "
            "train() would fail in the same way; see that model, collator and compute_loss belong together"
        ) from error
    return loss


@contextmanager
def heard_logits(model: torch.nn.Module) -> Iterator[list[torch.Tensor]]:
    """The logits of every forward pass of the model in the meantime, where it returns any."""
    heard: list[torch.Tensor] = []

    def keep(*call: Any) -> None:
        logits = getattr(call[-1], "logits", None)
        if isinstance(logits, torch.Tensor):
            heard.append(logits)

    handle = model.register_forward_hook(keep)
    try:
        yield heard
    finally:
        handle.remove()


@contextmanager
def left_as_it_was(trainer: Trainer) -> Iterator[None]:
    """Evaluation mode, no label smoothing; afterwards everything that ``compute_loss`` writes to is put back."""
    training, attributes = trainer.model.training, dict(vars(trainer))
    metrics = copy.deepcopy(getattr(trainer, "_metrics", None))
    if "current_gradient_accumulation_steps" not in attributes:
        # train() sets this on the way, and compute_loss of some trainers reads it.
        trainer.current_gradient_accumulation_steps = trainer.args.gradient_accumulation_steps
    trainer.model.eval()
    trainer.label_smoother = None
    try:
        yield
    finally:
        trainer.model.train(training)
        vars(trainer).clear()
        vars(trainer).update(attributes)
        if metrics is not None:
            trainer._metrics = metrics


def can_run(trainer: Trainer, batch: Batch) -> bool:
    """Whether the model has an embedding for every id of the batch; where it has not, another case says so."""
    rows = int(trainer.model.get_input_embeddings().weight.shape[0])
    return int(batch.inputs["input_ids"].max()) < rows


@contextmanager
def in_float32(model: torch.nn.Module) -> Iterator[None]:
    """Hold half-precision weights in float32 for a while: at 1e-5 only the logic may differ, not the rounding."""
    held: list[tuple[Any, torch.Tensor]] = [
        (tensor, tensor.data)
        for tensor in (*model.parameters(), *model.buffers())
        if tensor.dtype in (torch.float16, torch.bfloat16)
    ]
    try:
        for tensor, data in held:
            tensor.data = data.float()
        with torch.autocast(next(model.parameters()).device.type, enabled=False):
            yield
    finally:
        for tensor, data in held:
            tensor.data = data
