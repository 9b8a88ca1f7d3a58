"""Which whole models are in memory: each once, with the adapters on it, and two only where both fit."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from harness.models.memory import free_bytes
from harness.models.twin import NoTwinError, fingerprint, says, twin_of

Key = tuple[str, ...]
"""What tells one model in memory from another: its files, its device, its dtype."""

HEADROOM = 1.2
"""What a model needs in memory, as a multiple of its weights: batches and caches want room too."""


@dataclass(frozen=True)
class Whole:
    """A whole model that can be read: how many bytes it ``needs`` in memory, where that is, and how it is read."""

    key: Key
    name: str
    needs: Callable[[], int]
    device: torch.device
    read: Callable[[], Any]


@dataclass
class _Kept:
    """A model in memory. ``before`` is what it said before an adapter was put on a twin of it."""

    whole: Whole
    module: Any
    before: torch.Tensor | None = None
    adapted: dict[Key, Any] = field(default_factory=dict)


class Residents:
    """The models in memory. ``tell`` hears what a user should know of how they are kept there."""

    def __init__(
        self,
        tell: Callable[[str], None] = lambda _: None,
        free: Callable[[torch.device], int | None] = free_bytes,
    ) -> None:
        self._tell = tell
        self._free = free
        self._kept: dict[Key, _Kept] = {}  # the one that was asked last stands last
        self._alone: set[Key] = set()  # adapters that share nothing with the base model

    def module(self, whole: Whole) -> Any:
        """The whole model, read where it is not in memory."""
        return self._asked(whole).module

    def before(self, whole: Whole) -> torch.Tensor | None:
        """What the whole model ``says`` as it was read; None where no adapter has come near it since."""
        return self._kept[whole.key].before if whole.key in self._kept else None

    def adapted(self, whole: Whole, key: Key, put_on: Callable[[Any], Any]) -> Any:
        """The whole model with an adapter: on a twin over the same tensors, where that leaves the whole as it is."""
        if key in self._alone:
            return self._asked(self._with(whole, key, put_on)).module
        kept = self._asked(whole)
        if key not in kept.adapted:
            why = self._share(kept, key, put_on)
            if why:
                del kept  # it may go before another copy is read
                self._alone.add(key)
                self._tell(f"{whole.name} and its adapter are in memory twice: {why}")
                return self.adapted(whole, key, put_on)
        return kept.adapted[key]

    def _share(self, kept: _Kept, key: Key, put_on: Callable[[Any], Any]) -> str:
        """Put an adapter on a twin of a model; returns why not, where the twin cannot be, or would change the model."""
        before, prints = says(kept.module), fingerprint(kept.module)
        try:
            twin = twin_of(kept.module)
        except NoTwinError as error:
            return str(error)
        adapted = put_on(twin)
        if fingerprint(kept.module) != prints:
            self._kept.pop(kept.whole.key)  # it is no base model any more
            return "putting the adapter on changes weights of the base model"
        kept.before = before if kept.before is None else kept.before
        kept.adapted[key] = adapted
        return ""

    def _with(self, whole: Whole, key: Key, put_on: Callable[[Any], Any]) -> Whole:
        return Whole(key, f"{whole.name} with its adapter", whole.needs, whole.device, lambda: put_on(whole.read()))

    def _asked(self, whole: Whole) -> _Kept:
        if whole.key in self._kept:
            kept = self._kept.pop(whole.key)
        else:
            self.make_room(whole)
            kept = _Kept(whole, whole.read())
        self._kept[whole.key] = kept
        return kept

    def make_room(self, whole: Whole) -> None:
        """Drop models, the one first that was asked longest ago, until this one fits or none is left."""
        while (others := self._on(whole.device)) and not self._fits(whole):
            dropped = self._kept.pop(others[0]).whole
            self._tell(
                f"{dropped.name} and {whole.name} do not fit into memory together: each is dropped while the other is "
                "asked, and read again"
            )
            gc.collect()
            if whole.device.type == "cuda":
                torch.cuda.empty_cache()

    def _on(self, device: torch.device) -> list[Key]:
        return [key for key, kept in self._kept.items() if kept.whole.device == device]

    def _fits(self, whole: Whole) -> bool:
        free = self._free(whole.device)
        return free is None or whole.needs() * HEADROOM <= free
