"""Where a model's weights are: in memory already, or in files that are read when the model is first asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from harness.errors import ModelError
from harness.models.virtual_tokens import virtual_tokens


class Weights(Protocol):
    """A model's weights, and the facts that are known of them before they are read."""

    @property
    def module(self) -> Any:
        """The transformers model in evaluation mode, read from its files where it is not in memory."""

    @property
    def config(self) -> Any:
        """The configuration of the (base) model."""

    @property
    def device(self) -> torch.device:
        """Where the model computes."""

    @property
    def dtype(self) -> torch.dtype:
        """What it computes in."""

    @property
    def virtual_tokens(self) -> int:
        """How many tokens an adapter puts before every text."""


@dataclass(frozen=True, eq=False)
class InMemory:
    """The weights of a module that is there."""

    module: Any

    @property
    def config(self) -> Any:
        """As ``Weights`` has it."""
        return self.module.config

    @property
    def device(self) -> torch.device:
        """As ``Weights`` has it."""
        device: torch.device = self.module.device
        return device

    @property
    def dtype(self) -> torch.dtype:
        """As ``Weights`` has it."""
        dtype: torch.dtype = self.module.dtype
        return dtype

    @property
    def virtual_tokens(self) -> int:
        """As ``Weights`` has it."""
        return virtual_tokens(self.module)


@dataclass(eq=False)
class OnDemand:
    """Weights that ``read`` loads when they are first needed; what is wrong with them is found once and told each time.

    The facts are those that the loaded module will have.
    """

    config: Any
    device: torch.device
    dtype: torch.dtype
    virtual_tokens: int
    read: Callable[[], Any]
    _module: Any = field(default=None, init=False, repr=False)
    _refused: ModelError | None = field(default=None, init=False, repr=False)

    @property
    def module(self) -> Any:
        """As ``Weights`` has it; raises ModelError where the weights do not fit to the rest of the checkpoint."""
        if self._refused is not None:
            raise self._refused.with_traceback(None)
        if self._module is None:
            try:
                self._module = self.read()
            except ModelError as error:
                self._refused = error
                raise
        return self._module
