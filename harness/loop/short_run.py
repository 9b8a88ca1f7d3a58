"""The first steps of a training, run by the trainer's own ``train()`` and written down.

The plan stays the user's: the run is stopped after a few steps, and its schedule is that of the whole training.
Nothing is logged elsewhere, evaluated, published or saved outside of a scratch folder.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainerCallback, set_seed
from transformers.trainer_callback import CallbackHandler, DefaultFlowCallback, PrinterCallback, ProgressCallback

from harness.errors import UsageError
from harness.inspection.batches import first_line_of
from harness.loop.module_use import module_use, owner_of
from harness.loop.put_back import put_back
from harness.loop.recorder import Recorder
from harness.models.weight_files import stored_tensors
from harness.training.data import without_bars

if TYPE_CHECKING:
    from transformers import Trainer

SILENT = frozenset({"on_log", "on_save", "on_evaluate", "on_predict", "on_prediction_step", "on_push_begin"})
"""Events of callbacks that show, judge or keep something of a run, and change no step of it."""


@dataclass(frozen=True)
class Step:
    """One optimizer step: its loss, the norm of its clipped gradient, what it was made of, and its learning rates.

    ``rates`` holds a pair for each parameter group: the learning rate of this step and the one that the schedule
    starts from. ``rows`` is a digest of the token ids of all its batches.
    """

    loss: float
    gradient_norm: float
    rates: tuple[tuple[float, float], ...]
    rows: str


@dataclass(frozen=True)
class Course:
    """The first steps of a training.

    ``planned`` is how many steps the whole training has. ``reached`` holds the names of the trained weights that got a
    gradient other than zero in a step with a learning rate above zero, ``ran`` those whose module took part in a
    forward pass, ``undropped`` dropout that took part and never dropped anything; ``moved`` those that changed;
    ``grouped`` those that the optimizer has, ``doubled`` those that it has more than once. ``by_transformers`` says
    that the schedule is of transformers' making. ``base_moved`` holds frozen weights that changed. ``final`` are the
    trained weights at the end, ``saved`` the names of the files that were kept of a checkpoint, and ``stored`` those
    of the weights in them.
    """

    steps: tuple[Step, ...]
    planned: int
    trained: frozenset[str]
    reached: frozenset[str]
    ran: frozenset[str]
    undropped: frozenset[str]
    moved: frozenset[str]
    grouped: frozenset[str]
    doubled: frozenset[str]
    by_transformers: bool
    base_moved: tuple[str, ...]
    final: Mapping[str, torch.Tensor]
    saved: frozenset[str] = frozenset()
    stored: frozenset[str] = frozenset()


def short_run(
    trainer: Trainer, steps: int, scratch: Path, *, save_after: int | None = None, resume_from: Path | None = None
) -> Course:
    """Train until ``steps`` steps are done, from the weights as they are, or from a checkpoint; then all is put back.

    Raises:
        UsageError: ``train()`` fails.

    """
    model: Any = trainer.model
    trained = frozenset(name for name, weight in model.named_parameters() if weight.requires_grad)
    frozen = {name: _checksum(weight) for name, weight in model.named_parameters() if name not in trained}
    with put_back(trainer), module_use(model) as use:
        recorder = Recorder(model, trained, steps)
        _prepare(trainer, scratch, recorder, save_after)
        set_seed(trainer.args.seed)
        try:
            with unsaid():
                trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
        except Exception as error:  # whatever the user's training raises
            raise UsageError(
                f"train() fails within its first {steps} steps ({type(error).__name__}: {first_line_of(error)}): put "
                "that right first"
            ) from error
        losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry][-len(recorder.rates) :]
        # Not the tensors from before: resuming may have put others in their place.
        final = {name: weight.detach().clone() for name, weight in recorder.weights()}
        course = Course(
            steps=tuple(map(Step, losses, recorder.norms, recorder.rates, recorder.rows)),
            planned=int(trainer.state.max_steps),
            trained=trained,
            reached=frozenset(recorder.reached),
            ran=frozenset(name for name in trained if owner_of(model, name) in use.ran),
            undropped=frozenset(use.idle - use.dropping),
            moved=frozenset(),
            grouped=frozenset(recorder.grouped),
            doubled=frozenset(recorder.doubled),
            by_transformers=recorder.by_transformers,
            base_moved=tuple(
                name
                for name, weight in model.named_parameters()
                if name in frozen and _checksum(weight) != frozen[name]
            ),
            final=final,
            saved=frozenset(path.name for path in scratch.glob("checkpoint-*/*")),
            stored=frozenset(name for folder in scratch.glob("checkpoint-*") for name in stored_tensors(folder)),
        )
    # Where it began is where the model is again: no copy is kept beside the one that puts it back.
    begun = dict(model.named_parameters())
    moved = (name for name, weight in course.final.items() if not torch.equal(weight, begun[name]))
    return replace(course, moved=frozenset(moved))


def _prepare(trainer: Trainer, scratch: Path, recorder: Recorder, save_after: int | None) -> None:
    """Change the copy of the arguments that this run has, and leave only callbacks that can change a step."""
    changes = {
        "output_dir": str(scratch),
        "logging_strategy": "steps",
        "logging_steps": 1,
        "logging_first_step": False,
        "logging_nan_inf_filter": False,
        "eval_on_start": False,
        "load_best_model_at_end": False,
        "save_strategy": "no" if save_after is None else "steps",
        "save_steps": save_after or 500,
        "save_total_limit": None,
        "push_to_hub": False,
        "disable_tqdm": True,
    }
    for name, value in changes.items():
        setattr(trainer.args, name, value)
    handler = trainer.callback_handler
    kept = [each for each in handler.callbacks if _can_change_a_step(each)]
    trainer.callback_handler = _Handler(
        [DefaultFlowCallback(), recorder, *kept], handler.model, handler.processing_class, None, None
    )
    take = trainer.get_batch_samples

    def taken(*arguments: Any, **options: Any) -> Any:
        batches, count = take(*arguments, **options)
        recorder.saw(batches)
        return batches, count

    trainer.get_batch_samples = taken


def _can_change_a_step(callback: TrainerCallback) -> bool:
    shows = isinstance(callback, DefaultFlowCallback | PrinterCallback | ProgressCallback)
    return not shows and not type(callback).__module__.startswith("transformers.integrations")


class _Handler(CallbackHandler):  # type: ignore[misc]  # transformers has no types
    """Tells callbacks of the steps and of nothing else, and lets no evaluation come of it.

    The arguments keep saying when to evaluate: callbacks such as early stopping refuse to begin without.
    """

    def call_event(self, event: str, args: Any, state: Any, control: Any, **beside: Any) -> Any:
        if event not in SILENT:
            control = super().call_event(event, args, state, control, **beside)
        control.should_evaluate = False
        return control


@contextlib.contextmanager
def unsaid() -> Iterator[None]:
    """Hide what the libraries, and scripts that print, say of a run that is none: bars, warnings, logs and lines."""
    from transformers.utils import logging

    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        with without_bars(), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(before)


def _checksum(weight: torch.Tensor) -> int:
    """A number that another content has only by chance; nothing but the number leaves the tensor's device."""
    data = weight.detach().contiguous().view(-1).view(torch.uint8)
    whole = data[: data.numel() // 4 * 4].view(torch.int32)
    return int(whole.sum(dtype=torch.int64)) + int(data[data.numel() // 4 * 4 :].sum(dtype=torch.int64))
