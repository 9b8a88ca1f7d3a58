"""Which modules of a model take part in a run, and which dropout among them never drops anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch


@dataclass(frozen=True)
class ModuleUse:
    """Names of the modules with trained weights that got something to work on; and of dropout, by what it did."""

    ran: set[str] = field(default_factory=set)
    dropping: set[str] = field(default_factory=set)
    idle: set[str] = field(default_factory=set)


@contextmanager
def module_use(model: torch.nn.Module) -> Iterator[ModuleUse]:
    """Write down which modules a run uses."""
    use, handles = ModuleUse(), []
    owners = {owner_of(model, name) for name, weight in model.named_parameters() if weight.requires_grad}
    for name, module in model.named_modules():
        if name in owners:
            handles.append(module.register_forward_pre_hook(_noted(name, use)))
        if isinstance(module, torch.nn.Dropout) and module.p > 0:
            handles.append(module.register_forward_pre_hook(_noted_dropout(name, use)))
    try:
        yield use
    finally:
        for handle in handles:
            handle.remove()


def _noted(name: str, use: ModuleUse) -> Callable[..., None]:
    def note(module: Any, inputs: tuple[Any, ...]) -> None:
        first = inputs[0] if inputs else None
        if not isinstance(first, torch.Tensor) or (first.numel() and _has_a_token_of(module, first)):
            use.ran.add(name)

    return note


def _has_a_token_of(module: Any, given: torch.Tensor) -> bool:
    """Of ids, whether there is one whose row is trained, where peft trains the rows of a few tokens alone."""
    trained = getattr(module, "token_indices", None)
    if not isinstance(trained, dict) or given.is_floating_point():
        return True
    tokens = torch.tensor([token for each in trained.values() for token in each], device=given.device)
    return bool(torch.isin(given, tokens).any())


def _noted_dropout(name: str, use: ModuleUse) -> Callable[..., None]:
    def note(module: Any, _inputs: tuple[Any, ...]) -> None:
        if torch.is_grad_enabled():
            (use.dropping if module.training else use.idle).add(name)

    return note


def owner_of(model: torch.nn.Module, weight: str) -> str:
    """The module that a weight is used by: the one that holds it, or holds the dictionary or list that it is in."""
    name = weight.rpartition(".")[0]
    while name and isinstance(model.get_submodule(name), torch.nn.ParameterDict | torch.nn.ParameterList):
        name = name.rpartition(".")[0]
    return name
