"""A callback that writes the steps of a short run down as they are made, and ends it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterator
from typing import Any

import torch
from transformers import TrainerCallback


class Recorder(TrainerCallback):  # type: ignore[misc]  # transformers has no types
    """Learning rates, gradients, groups of the optimizer and rows of each step; see ``Course``."""

    def __init__(self, model: torch.nn.Module, trained: Collection[str], steps: int) -> None:
        self.model = model
        self.trained = trained
        self.last = steps
        self.norms: list[float] = []
        self.rates: list[tuple[tuple[float, float], ...]] = []
        self.rows: list[str] = []
        self.reached: set[str] = set()
        self.by_transformers = False
        self.grouped: Counter[str] = Counter()

    def weights(self) -> Iterator[tuple[str, torch.nn.Parameter]]:
        """The weights that train, as the model has them now."""
        return ((name, weight) for name, weight in self.model.named_parameters() if name in self.trained)

    def saw(self, batches: Any) -> None:
        """Keep a digest of the token ids of a step's batches."""
        digest = hashlib.sha256()
        for batch in batches:
            ids = batch.get("input_ids") if hasattr(batch, "get") else None
            digest.update(repr(ids.tolist() if isinstance(ids, torch.Tensor) else ids).encode())
        self.rows.append(digest.hexdigest()[:16])

    def on_pre_optimizer_step(self, *_: Any, optimizer: Any = None, lr_scheduler: Any = None, **__: Any) -> None:
        """Keep what the optimizer is about to do."""
        self.by_transformers = _is_by_transformers(lr_scheduler)
        groups = optimizer.param_groups
        self.rates.append(tuple((float(g["lr"]), float(g.get("initial_lr", g["lr"]))) for g in groups))
        known = {id(weight): name for name, weight in self.weights()}
        names = (known.get(id(weight)) for group in groups for weight in group["params"])
        self.grouped = Counter(name for name in names if name is not None)
        gradients = {name: weight.grad for name, weight in self.weights() if weight.grad is not None}
        self.norms.append(float(sum(float(each.float().square().sum()) for each in gradients.values()) ** 0.5))
        if any(rate > 0 for rate, _ in self.rates[-1]):
            self.reached |= {name for name, each in gradients.items() if bool(each.any())}

    @property
    def doubled(self) -> set[str]:
        """Weights that the optimizer has more than once."""
        return {name for name, times in self.grouped.items() if times > 1}

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """End the run after its last step."""
        if state.global_step >= self.last:
            control.should_training_stop = True


def _is_by_transformers(schedule: Any) -> bool:
    inner = getattr(schedule, "scheduler", schedule)  # accelerate puts one of its own around it
    rules = [getattr(each, "func", each) for each in getattr(inner, "lr_lambdas", ())]
    return bool(rules) and all(str(getattr(rule, "__module__", "")).startswith("transformers.") for rule in rules)
