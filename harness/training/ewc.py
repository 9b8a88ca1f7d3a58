"""Elastic weight consolidation: what general rows need of the weights is held in place while a task is learned.

Kirkpatrick et al. 2017, "Overcoming catastrophic forgetting in neural networks" (PNAS 114, eq. 3): the loss of the task
plus ``strength / 2 * sum_i F_i (w_i - w*_i)^2``, with the weights ``w*`` before the task and the diagonal ``F`` of the
Fisher information on the rows whose ability is to be kept. ``F`` is the empirical one, from the rows' own labels:
the mean over rows of the squared gradient of each row's loss alone. (The square of the mean gradient, which one
backward pass over a batch would give, is another and far smaller number.)
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainerCallback

if TYPE_CHECKING:
    from transformers import Trainer

Tensors = dict[str, torch.Tensor]


class ElasticWeights(TrainerCallback):  # type: ignore[misc]  # transformers has no types
    """Adds the gradient of the penalty to that of the task, once an optimizer step, after clipping.

    ``fisher`` and ``anchor`` hold a tensor of each trained weight's shape by its name, in float32. The logged loss
    stays that of the task; ``ewc_penalty`` is logged beside it.
    """

    def __init__(self, strength: float, fisher: Mapping[str, torch.Tensor], anchor: Mapping[str, torch.Tensor]) -> None:
        self.strength = strength
        self.fisher = dict(fisher)
        self.anchor = dict(anchor)

    @classmethod
    def before_training(cls, trainer: Trainer, rows: Sequence[Mapping[str, Any]], strength: float) -> ElasticWeights:
        """Estimate the Fisher information of prepared rows at the trainer's weights as they are now."""
        return cls(strength, cls.estimate(trainer, rows), weights_of(trainer.model))

    @staticmethod
    def estimate(trainer: Trainer, rows: Sequence[Mapping[str, Any]]) -> Tensors:
        """The mean over rows of the squared gradient of each row's loss alone; gradients and modes are put back."""
        model: Any = trainer.model
        weights = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
        kept = {name: weight.grad for name, weight in weights.items()}
        training, total = (
            model.training,
            {name: torch.zeros_like(w, dtype=torch.float32) for name, w in weights.items()},
        )
        model.eval()
        try:
            for row in rows:
                loss = row_loss(trainer, row)
                found = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
                for name, gradient in zip(weights, found, strict=True):
                    if gradient is not None:
                        total[name] += gradient.float() ** 2
        finally:
            model.train(training)
            for name, weight in weights.items():
                weight.grad = kept[name]
        return {name: each / max(1, len(rows)) for name, each in total.items()}

    @property
    def digest(self) -> str:
        """SHA-256 over the weights that are held to, as 16 hex digits."""
        total = hashlib.sha256()
        for name in sorted(self.anchor):
            total.update(name.encode() + self.anchor[name].cpu().contiguous().numpy().tobytes())
        return total.hexdigest()[:16]

    def penalty(self, model: torch.nn.Module) -> torch.Tensor:
        """The penalty of a model's weights, a scalar."""
        total = torch.zeros(())
        for name, weight in model.named_parameters():
            if name in self.fisher:
                away = weight.float() - self.anchor[name].to(weight.device)
                total = total.to(weight.device) + (self.fisher[name].to(weight.device) * away**2).sum()
        return self.strength / 2 * total

    def on_pre_optimizer_step(self, *_: Any, model: Any = None, **__: Any) -> None:
        """Add ``strength * F (w - w*)`` to every weight's gradient."""
        with torch.no_grad():
            for name, weight in model.named_parameters():
                if name in self.fisher and weight.grad is not None:
                    away = weight.float() - self.anchor[name].to(weight.device)
                    weight.grad += (self.strength * self.fisher[name].to(weight.device) * away).to(weight.grad.dtype)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, model: Any = None, **_: Any) -> None:  # noqa: ARG002
        """Say how large the penalty is."""
        if logs is not None and model is not None and "loss" in logs:
            with torch.no_grad():
                penalty = float(self.penalty(model))
            logs["ewc_penalty"] = penalty
            state.log_history[-1]["ewc_penalty"] = penalty  # written before callbacks are told

    def save(self, path: Path) -> None:
        """Keep Fisher information and weights as safetensors; the file appears whole or not at all."""
        from safetensors.torch import save_file

        tensors = {f"fisher.{name}": each.cpu().contiguous() for name, each in self.fisher.items()}
        tensors |= {f"anchor.{name}": each.cpu().contiguous() for name, each in self.anchor.items()}
        unfinished = path.with_suffix(".unfinished")
        metadata = {"strength": repr(self.strength), "reference_weights": self.digest}
        save_file(tensors, unfinished, metadata=metadata)
        unfinished.replace(path)

    @classmethod
    def load(cls, path: Path) -> ElasticWeights:
        """Read what ``save`` has kept."""
        from safetensors import safe_open

        with safe_open(path, framework="pt") as file:
            strength = float(file.metadata()["strength"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        parts = {
            part: {name.removeprefix(f"{part}."): each for name, each in tensors.items() if name.startswith(f"{part}.")}
            for part in ("fisher", "anchor")
        }
        return cls(strength, parts["fisher"], parts["anchor"])


def weights_of(model: torch.nn.Module) -> Tensors:
    """Copies of the weights that train, in float32, by name."""
    return {name: w.detach().float().clone() for name, w in model.named_parameters() if w.requires_grad}


def row_loss(trainer: Trainer, row: Mapping[str, Any]) -> torch.Tensor:
    """The loss of one prepared row alone: the mean over its supervised tokens."""
    model: Any = trainer.model
    ids, labels = (torch.tensor([row[name]], device=model.device) for name in ("input_ids", "labels"))
    loss: torch.Tensor = model(input_ids=ids, labels=labels, use_cache=False).loss
    return loss
