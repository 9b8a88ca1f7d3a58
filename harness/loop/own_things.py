"""What callbacks, a collator, a data set or a trainer remember for themselves, put back after a run.

A counter, a history or a moving average of the weights belongs to the training that the user is about to start.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

DEPTH = 3
"""How deep containers in containers are copied; a moving average is a dictionary of tensors, a log one of lists."""

LONGEST = 1000
"""Longer lists are the rows of a data set and no memory of a training that has not begun; they are not copied."""


@contextmanager
def things_put_back(holders: Iterable[Any]) -> Iterator[None]:
    """Give the attributes of these objects back as they were, with what containers and tensors among them hold."""
    held = [own for own in (getattr(each, "__dict__", None) for each in holders) if isinstance(own, dict)]
    kept = [(own, dict(own), {name: _copied(value, DEPTH) for name, value in own.items()}) for own in held]
    try:
        yield
    finally:
        for own, before, contents in kept:
            own.clear()
            own.update(before)
            for name, content in contents.items():
                _refill(before[name], content)


def _copied(value: Any, depth: int) -> Any:
    """A copy of containers and tensors; anything else, and what belongs to a model, is itself."""
    if isinstance(value, torch.nn.Parameter) or not depth:
        return value
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, dict):
        again = copy.copy(value)
        again.update({key: _copied(each, depth - 1) for key, each in value.items()})
        return again
    if isinstance(value, list) and len(value) <= LONGEST:
        return [_copied(each, depth - 1) for each in value]
    return copy.copy(value) if isinstance(value, set | deque) else value


def _refill(value: Any, content: Any) -> None:
    """Make the same object hold again what it held."""
    if value is content:
        return
    if isinstance(value, torch.Tensor):
        with torch.no_grad():
            value.copy_(content)
    elif isinstance(value, np.ndarray):
        value[...] = content
    elif isinstance(value, list | deque):
        value.clear()
        value.extend(content)
    elif isinstance(value, dict | set):
        value.clear()
        value.update(content)
