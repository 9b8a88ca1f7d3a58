"""A trainer lent out to train for a few steps: whatever a training writes to, it comes back as it was."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import torch

from harness.loop.own_things import things_put_back

if TYPE_CHECKING:
    from transformers import Trainer

LISTS = ("_models", "_optimizers", "_schedulers", "_dataloaders")
"""What accelerate remembers of everything that it has prepared."""

PARTS = ("_parameters", "_buffers", "_modules")
"""Where torch keeps what a module is made of; loading an adapter may put another tensor in its place."""


@contextmanager
def put_back(trainer: Trainer) -> Iterator[None]:
    """Give the trainer back as it was: weights, gradients, modes, hooks, random states, optimizer, schedule and state.

    What the trainer, its collator, its data set and its callbacks remember for themselves is put back too. Weights that
    train, and buffers, are copied meanwhile; frozen weights are not, since no step changes them.
    """
    lists = {name: list(getattr(trainer.accelerator, name, ())) for name in LISTS}
    with ExitStack() as stack:
        stack.enter_context(_modules(trainer.model))
        stack.enter_context(_settings(trainer.model))
        stack.enter_context(_tensors(trainer.model))
        stack.enter_context(_random_states(_generators_of(trainer)))
        stack.enter_context(_stateful(trainer.optimizer, trainer.lr_scheduler))
        stack.enter_context(things_put_back((*_holders(trainer), trainer)))
        trainer.args, trainer.control = copy.copy(trainer.args), copy.copy(trainer.control)
        try:
            yield
        finally:
            for name, kept in lists.items():
                getattr(trainer.accelerator, name, [])[:] = kept


@contextmanager
def _tensors(model: torch.nn.Module) -> Iterator[None]:
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    kept = [(tensor, tensor.detach().clone()) for tensor in (*trained, *model.buffers())]
    places = [(tensor, tensor.data) for tensor in (*model.parameters(), *model.buffers())]
    flags = [(weight, weight.requires_grad, weight.grad) for weight in model.parameters()]
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, data in places:
                tensor.data = data  # loading an adapter puts its weights into another precision
            for tensor, values in kept:
                tensor.copy_(values)
        for weight, trains, gradient in flags:
            weight.requires_grad_(trains)
            weight.grad = gradient


@contextmanager
def _modules(model: torch.nn.Module) -> Iterator[None]:
    """Modes, hooks, parts, wrapped ``forward`` methods and switches such as activation checkpointing."""
    kept = []
    for module in model.modules():
        hooks = {
            name: copy.copy(each)
            for name, each in vars(module).items()
            if (name.endswith("_hooks") or name in PARTS) and isinstance(each, dict)
        }
        kept.append((module, dict(vars(module)), hooks))
    try:
        yield
    finally:
        for module, attributes, hooks in kept:
            vars(module).clear()
            vars(module).update(attributes)
            for name, each in hooks.items():
                getattr(module, name).clear()
                getattr(module, name).update(each)


@contextmanager
def _settings(model: torch.nn.Module) -> Iterator[None]:
    """``train()`` writes stop ids and ``use_cache`` into the configurations of the model."""
    held = [vars(module).get(name) for module in model.modules() for name in ("config", "generation_config")]
    kept = {id(each): (each, copy.deepcopy(vars(each))) for each in held if hasattr(each, "__dict__")}
    try:
        yield
    finally:
        for each, settings in kept.values():
            vars(each).clear()
            vars(each).update(settings)


@contextmanager
def _random_states(generators: Iterable[Any]) -> Iterator[None]:
    """The global random states, and those of generators that a collator or a data set carries."""
    import numpy as np

    python_state, numpy_state, torch_state = random.getstate(), np.random.get_state(), torch.get_rng_state()
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    own = [(generator, _state_of(generator)) for generator in generators]
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
        torch.set_rng_state(torch_state)
        if devices:
            torch.cuda.set_rng_state_all(devices)
        for generator, state in own:
            _set_state(generator, state)


def _generators_of(trainer: Trainer) -> list[Any]:
    import numpy as np

    kinds = (random.Random, np.random.Generator, np.random.RandomState, torch.Generator)
    return [
        value
        for each in (trainer, *_holders(trainer))
        for value in getattr(each, "__dict__", {}).values()
        if isinstance(value, kinds)
    ]


def _holders(trainer: Trainer) -> tuple[Any, ...]:
    return (trainer.data_collator, trainer.train_dataset, *trainer.callback_handler.callbacks)


def _state_of(generator: Any) -> Any:
    if isinstance(generator, random.Random):
        return generator.getstate()
    if hasattr(generator, "bit_generator"):
        return copy.deepcopy(generator.bit_generator.state)
    return generator.get_state()


def _set_state(generator: Any, state: Any) -> None:
    if isinstance(generator, random.Random):
        generator.setstate(state)
    elif hasattr(generator, "bit_generator"):
        generator.bit_generator.state = state
    else:
        generator.set_state(state)


@contextmanager
def _stateful(*objects: Any) -> Iterator[None]:
    """An optimizer or a schedule of the user's own, which the training goes on with instead of making one."""
    kept = [(each, copy.deepcopy(each.state_dict())) for each in objects if each is not None]
    try:
        yield
    finally:
        for each, state in kept:
            each.load_state_dict(state)
