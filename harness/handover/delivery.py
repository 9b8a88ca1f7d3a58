"""What is handed over, as it lies on disk, and what it must be equal to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness.models.files import ModelFiles
from harness.models.load import LoadOptions


@dataclass(frozen=True, eq=False)  # one delivery is looked at by many cases: it is known by itself
class Delivery:
    """A model to hand over: a checkpoint or an adapter on its base.

    ``same_as`` is what it must be equal to (``--same-as``): the adapter before its merge, the checkpoint before its
    export; None where the user names none. ``tuned_from`` is the base of a whole checkpoint, where it is known; an
    adapter's is in ``files``. ``compared_with`` gives the module that this run compares the model with, as it is
    in memory. ``loading`` says how weights are loaded where a check needs them.
    """

    files: ModelFiles
    loading: LoadOptions
    same_as: ModelFiles | None = None
    tuned_from: ModelFiles | None = None
    compared_with: Callable[[], Any] | None = None

    @property
    def is_adapter(self) -> bool:
        """Whether the delivery holds an adapter and not a whole model."""
        return self.files.base is not None
