"""Where a model's weights are: in memory already, or in files that are read when the model is first asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from harness.engine.sharing import Sharing
from harness.engine.virtual_tokens import virtual_tokens
from harness.errors import ModelError


class Weights(Protocol):
    """A model's weights, and the facts that are known of them before they are read."""

    @property
    def module(self) -> Any:
        """The transformers model in evaluation mode, read from its files where it is not in memory."""

    @property
    def config(self) -> Any:
        """The configuration of the (base) model."""

    @property
    def generation_config(self) -> Any:
        """How the (base) model answers when it is served; None where it says nothing of that."""

    @property
    def device(self) -> torch.device:
        """Where the model computes."""

    @property
    def dtype(self) -> torch.dtype:
        """What it computes in."""

    @property
    def virtual_tokens(self) -> int:
        """How many tokens an adapter puts before every text."""

    @property
    def before(self) -> torch.Tensor | None:
        """What the model said to fixed texts before an adapter shared its weights; None where none does."""

    @property
    def sharing(self) -> Sharing:
        """What has been found out of how much its rows may share."""


@dataclass(frozen=True, eq=False)
class InMemory:
    """The weights of a module that is there."""

    module: Any
    sharing: Sharing = field(default_factory=Sharing)

    @property
    def before(self) -> None:
        """As ``Weights`` has it: nobody knows where the module has been."""
        return

    @property
    def config(self) -> Any:
        """As ``Weights`` has it."""
        return self.module.config

    @property
    def generation_config(self) -> Any:
        """As ``Weights`` has it."""
        return getattr(self.module, "generation_config", None)

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
    """Weights in files, which are read when they are first needed.

    ``read`` gives the module, from memory where it is there; ``check`` raises ModelError where that does not fit to the
    rest of the checkpoint, and is told once. The facts are those that the module will have; ``look_back`` gives what
    it said ``before``.
    """

    config: Any
    generation_config: Any
    device: torch.device
    dtype: torch.dtype
    virtual_tokens: int
    read: Callable[[], Any]
    check: Callable[[Any], None] = lambda _: None
    look_back: Callable[[], torch.Tensor | None] = lambda: None
    sharing: Sharing = field(default_factory=Sharing)
    _checked: bool = field(default=False, init=False, repr=False)
    _refused: ModelError | None = field(default=None, init=False, repr=False)

    @property
    def module(self) -> Any:
        """As ``Weights`` has it; raises the same ModelError each time where the weights cannot be used."""
        if self._refused is not None:
            raise self._refused.with_traceback(None)
        try:
            module = self.read()
            if not self._checked:
                self.check(module)
                self._checked = True
        except ModelError as error:
            self._refused = error
            raise
        return module

    @property
    def before(self) -> torch.Tensor | None:
        """As ``Weights`` has it."""
        return self.look_back()
