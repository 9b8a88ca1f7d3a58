"""What is handed over, as it lies on disk, and what it must be equal to."""

from __future__ import annotations

from dataclasses import dataclass

from harness.models.files import ModelFiles
from harness.models.load import LoadOptions


@dataclass(frozen=True)
class Delivery:
    """A model to hand over: a checkpoint or an adapter on its base.

    ``same_as`` is what it must be equal to (``--same-as``): the adapter before its merge, the checkpoint before its
    export; None where the user names none. ``loading`` says how weights are loaded where a check needs them.
    """

    files: ModelFiles
    loading: LoadOptions
    same_as: ModelFiles | None = None
