"""Evaluation without chance: the same rows have the same loss twice, bit for bit, or what draws is named."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from harness.errors import UsageError
from harness.findings import Note
from harness.inspection.batches import evaluation_set, first_line_of
from harness.loop.evaluated import Evaluated, evaluated, first_rows
from harness.loop.looked_at import Loop
from harness.records import Finding

ROWS = 2
ROUNDING = 1e-5
"""Relative difference that kernels of a GPU may make by adding in another order; noise on embeddings makes 1e-3."""

Trace = list[tuple[str, tuple[float, float]]]
"""What went into modules and came out of them, in order: a place in words, and a fingerprint of the tensor there."""


def evaluation_is_repeatable_and_without_noise(loop: Loop, note: Note) -> list[Finding]:
    """Two evaluations of the same rows, with unlike random states, agree bit for bit."""
    trainer: Any = loop.trainer
    rows = first_rows(trainer, ROWS)
    try:
        (one, first), (other, second) = (_traced(trainer, rows, seed) for seed in (1, 2))
    except Exception as error:  # whatever the user's evaluation raises
        said = f"evaluate() fails on a few rows ({type(error).__name__}: {first_line_of(error)})"
        if evaluation_set(trainer) is None:
            note(f"{said}, and there is no eval_dataset")
            return []
        raise UsageError(f"{said}: see that eval_dataset is prepared as train_dataset is") from error
    if one is None or other is None or one.loss == other.loss:
        return []
    if math.isnan(one.loss) and math.isnan(other.loss):
        note("the loss of these rows is no number, so nothing can be said of noise")
        return []
    apart = abs(one.loss - other.loss) / max(abs(one.loss), 1e-9)
    place = next((a for (a, before), (b, after) in zip(first, second, strict=False) if (a, before) != (b, after)), None)
    if apart <= ROUNDING:
        note(f"two evaluations of the same rows differ by {apart:.1e}, as kernels that add in any order make them")
        return []
    if [part.digest for part in one.parts] != [part.digest for part in other.parts]:
        note("two evaluations of the same rows get unlike batches: the collator or the data set draws at random")
        return []
    return [
        Finding(
            "evaluation is noisy: the same rows have another loss each time",
            place or "the loss itself",
            "the same loss to the last bit, as nothing is drawn at random in evaluation mode",
            f"{one.loss:.6f} and {other.loss:.6f}",
            "let a hook add its noise only where module.training is true and remove it after training; give "
            "torch.nn.functional.dropout training=self.training; call model.eval() before an evaluation",
        )
    ]


def _traced(trainer: Any, rows: Any, seed: int) -> tuple[Evaluated | None, Trace]:
    with _traces(trainer.model) as trace:
        return evaluated(trainer, rows, seed), trace


@contextmanager
def _traces(model: torch.nn.Module) -> Iterator[Trace]:
    """Write down what passes through every module, before and after it."""
    trace: Trace = []
    handles = []
    for name, module in model.named_modules():
        hooks = [getattr(hook, "__qualname__", type(hook).__name__) for hook in module._forward_hooks.values()]
        handles.append(module.register_forward_pre_hook(_written(trace, f"what goes into {name or 'the model'}")))
        after = f"what comes out of {name or 'the model'} ({type(module).__name__}"
        after += f", with the forward hook {', '.join(hooks)})" if hooks else ")"
        handles.append(module.register_forward_hook(_written(trace, after)))
    try:
        yield trace
    finally:
        for handle in handles:
            handle.remove()


def _written(trace: Trace, place: str) -> Callable[..., None]:
    def write(_module: Any, *passed: Any) -> None:
        value = passed[-1]
        tensors = [each for each in (value if isinstance(value, tuple | list) else [value]) if torch.is_tensor(each)]
        if tensors:
            flat = tensors[0].detach().float()
            trace.append((place, (float(flat.sum()), float(flat.square().sum()))))

    return write
