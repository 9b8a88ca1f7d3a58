"""Three short runs of one trainer: as it is, once more, and interrupted and resumed. All checks read the same."""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import ReferenceType, WeakKeyDictionary, ref

from harness.errors import UsageError
from harness.loop.short_run import Course, short_run

if TYPE_CHECKING:
    from transformers import Trainer

STEPS = 4
"""A linear warm-up gives the first step a learning rate of zero, and the matrices of LoRA move one after the other."""

SAVED_AFTER = 2


@dataclass
class Observed:
    """What a trainer does in its first steps; nothing runs before it is asked for, and nothing runs twice.

    It does not hold the trainer, so that both go when the trainer's owner is done with it.
    """

    _held: ReferenceType[Trainer]

    @property
    def trainer(self) -> Trainer:
        """The trainer that is looked at."""
        trainer = self._held()
        assert trainer is not None  # whoever asks has it
        return trainer

    @cached_property
    def course(self) -> Course:
        """The first steps."""
        with tempfile.TemporaryDirectory() as scratch:
            return short_run(self.trainer, STEPS, Path(scratch))

    @property
    def repeated(self) -> Course:
        """The same again, from the same weights and seed, saved on the way."""
        return self._saved_and_resumed[0]

    @property
    def resumed(self) -> Course | str | None:
        """The steps after the save, resumed from what was saved; None where nothing to resume from is kept.

        A sentence where the saved run cannot go on at all.
        """
        return self._saved_and_resumed[1]

    @cached_property
    def _saved_and_resumed(self) -> tuple[Course, Course | str | None]:
        """Both at once: what was saved is there for as long as the second run needs it."""
        with tempfile.TemporaryDirectory() as scratch:
            course = short_run(self.trainer, STEPS, Path(scratch), save_after=SAVED_AFTER)
            return course, self._go_on(Path(scratch)) if self.can_resume else None

    @property
    def can_resume(self) -> bool:
        """Whether the user wants checkpoints that a run can be resumed from, and there is a step to resume at."""
        return not self.trainer.args.save_only_model and self.course.planned > SAVED_AFTER

    def _go_on(self, scratch: Path) -> Course | str:
        saved = scratch / f"checkpoint-{SAVED_AFTER}"
        with tempfile.TemporaryDirectory() as beside:
            try:
                return short_run(self.trainer, min(STEPS, self.course.planned), Path(beside), resume_from=saved)
            except UsageError as error:
                return str(error).replace(f"{scratch}/", "")


_OBSERVED: WeakKeyDictionary[Trainer, Observed] = WeakKeyDictionary()


def observed(trainer: Trainer) -> Observed:
    """The short runs of this trainer, the same for every check."""
    return _OBSERVED.setdefault(trainer, Observed(ref(trainer)))


def tolerance(trainer: Trainer) -> float:
    """How far losses of the same run may differ, relative: nothing on a CPU but the order of sums in its threads."""
    return 1e-6 if trainer.args.device.type == "cpu" else 1e-3


def differs(left: float, right: float, allowed: float) -> bool:
    """Whether two numbers are not the same within a relative tolerance; what is no number is the same as itself."""
    if math.isnan(left) and math.isnan(right):
        return False
    return not math.isclose(left, right, rel_tol=allowed, abs_tol=1e-12)
