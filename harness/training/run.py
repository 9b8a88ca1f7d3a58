"""Train as a recipe says, into a folder that appears whole or not at all, and that an interrupted run goes on to fill.

The folder is what ``--model`` takes: a checkpoint, or an adapter that names its base. ``training.json`` in it tells
what it was trained from and how it went.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from peft import PeftConfig, PeftModel
from safetensors import SafetensorError
from transformers.trainer_callback import PrinterCallback

from harness.chat.record import template_record
from harness.errors import HarnessError, InvalidRunError, RecipeError, UsageError
from harness.models.weight_files import weights_sample
from harness.once import built_once, unfinished_of
from harness.provenance import object_digest
from harness.references import TRAINING_MANIFEST
from harness.training.advice import advice
from harness.training.checkpoints import Checkpoints, checkpoints_in, is_whole, newest_whole, seconds_spent
from harness.training.data import without_bars
from harness.training.inputs import differing, inputs_of
from harness.training.interrupt import interrupt_after_step
from harness.training.manifest import course
from harness.training.recipe import Recipe, old_names_between_libraries, one_line
from harness.training.resuming import can_go_on
from harness.training.trainer import LIBRARY_ERRORS, Parts, Resolve, gather, trainer_of
from harness.training.watch import Progress, Watch

if TYPE_CHECKING:
    from trl import SFTTrainer

Tell = Callable[[str], None]
"""Told what is worth knowing before the first step: advice, and where an interrupted run goes on."""

INPUTS = "inputs.json"
"""In the folder of a run that is not finished: what it trains from, so that only the same run goes on in it."""


@dataclass(frozen=True)
class Trained:
    """A trained model: its folder, the reference of the base it was tuned from, and the manifest of its training."""

    folder: Path
    base: str
    manifest: Mapping[str, Any]


def train(
    recipe: Recipe, resolve: Resolve, cache_dir: Path, progress: Progress | None = None, *, offline: bool = False
) -> Trained:
    """Train, or return what an earlier run of the same recipe, data, base and library versions has trained.

    The folder is in the cache, under a name that these inputs decide. Processes that ask for the same one wait for the
    first. Raises InvalidRunError with step and rows where the loss is not a number; RecipeError, DataError and
    NetworkError as ``build_trainer`` does; UsageError where the disk is full.
    """
    parts = gather(recipe, resolve, cache_dir / "trained", offline=offline)
    inputs = inputs_of(parts)
    return _trained(cache_dir / "trained" / f"{recipe.path.stem}-{object_digest(inputs)}", parts, inputs, progress)


def train_into(
    folder: Path,
    recipe: Recipe,
    resolve: Resolve,
    progress: Progress | None = None,
    *,
    tell: Tell | None = None,
    offline: bool = False,
) -> Trained:
    """Train into ``folder``, or go on with the run that was interrupted there, or return what is there already.

    As ``train``; besides, raises UsageError where the folder, or the unfinished run beside it, is something else.
    """
    parts = gather(recipe, resolve, folder, offline=offline)
    inputs = inputs_of(parts)
    _check_place(folder, inputs)
    return _trained(folder, parts, inputs, progress, tell)


def _trained(
    folder: Path, parts: Parts, inputs: Mapping[str, Any], progress: Progress | None, tell: Tell | None = None
) -> Trained:
    built_once(
        folder,
        lambda unfinished: _fill(unfinished, parts, inputs, progress, tell or (lambda _: None)),
        _holds_a_whole_checkpoint,
    )
    manifest = json.loads((folder / TRAINING_MANIFEST).read_text(encoding="utf-8"))
    return Trained(folder, parts.recipe.model, manifest)


def _check_place(folder: Path, inputs: Mapping[str, Any]) -> None:
    """See that the folder is free, or what stands there or beside it comes from the same inputs."""
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()  # an empty one is as good as none, and takes no rename
    if folder.exists() and (changed := differing(folder / TRAINING_MANIFEST, inputs)):
        trained = (folder / TRAINING_MANIFEST).is_file()
        there = f"a model from another {' and '.join(changed)}" if trained else "something else"
        raise UsageError(f"{folder}: {there} is there already; name another folder with --output.")
    unfinished = unfinished_of(folder)
    if unfinished.exists() and not any((unfinished / name).is_file() for name in (INPUTS, TRAINING_MANIFEST)):
        raise UsageError(f"{unfinished}: this is not of an interrupted run, and would be lost; remove or rename it.")
    if _holds_a_whole_checkpoint(unfinished) and (changed := differing(unfinished / INPUTS, inputs)):
        raise UsageError(
            f"{unfinished}: an interrupted run of another {' and '.join(changed)} is kept here, and would be lost; "
            "remove it, or name another folder with --output."
        )


def _holds_a_whole_checkpoint(unfinished: Path) -> bool:
    return any(map(is_whole, checkpoints_in(unfinished)))


def _fill(folder: Path, parts: Parts, inputs: Mapping[str, Any], progress: Progress | None, tell: Tell) -> None:
    (folder / INPUTS).write_text(json.dumps(inputs, default=str), encoding="utf-8")
    parts.training.output_dir = str(folder)  # the trainer makes its folder when it is built
    trainer = trainer_of(parts)
    trainer.remove_callback(PrinterCallback)
    said = advice(parts, trainer)
    for each in said:
        tell(f"advice: {each}")
    try:
        with _writing(folder):
            began = time.process_time()
            seconds = _run(trainer, folder, parts, progress, tell)
            manifest = {"base": parts.recipe.model} | dict(inputs) | course(trainer, len(parts.rows), seconds)
            manifest["cpu_seconds"] = round(time.process_time() - began, 2)
            manifest |= {"advice": said, "trained": template_record(trainer.processing_class)}
            manifest |= {"base_sample": weights_sample(parts.base)}
            with without_bars():
                _save(trainer, folder, parts.recipe.model)
            (folder / TRAINING_MANIFEST).write_text(
                json.dumps(manifest, indent=2, ensure_ascii=False, default=str), encoding="utf-8"
            )
    except InvalidRunError:
        # The same inputs would come to the same end.
        _remove_checkpoints(folder)
        raise
    if parts.training.save_strategy == "no":
        _remove_checkpoints(folder)
    (folder / INPUTS).unlink()


def _run(trainer: SFTTrainer, folder: Path, parts: Parts, progress: Progress | None, tell: Tell) -> float:
    """Train, from the newest whole checkpoint where there is one; the seconds of all runs that it took."""
    start = newest_whole(folder)
    spent = seconds_spent(start) if start else 0.0
    if start:
        tell(f"going on with the interrupted run after step {start.name.partition('-')[2]}")
    began = time.perf_counter()
    Watch(trainer, parts.recipe.path, progress)
    with interrupt_after_step(can_go_on(trainer)) as asked_to_stop, old_names_between_libraries():
        if can_go_on(trainer):
            own = parts.training.save_strategy == "no"
            trainer.add_callback(Checkpoints(folder, own=own, asked_to_stop=asked_to_stop, spent=spent))
        with _first_step_of(trainer, parts.recipe):
            trainer.train(resume_from_checkpoint=str(start) if start else None)
        if trainer.state.global_step < trainer.state.max_steps and asked_to_stop():
            raise KeyboardInterrupt
    return spent + time.perf_counter() - began


@contextmanager
def _first_step_of(trainer: SFTTrainer, recipe: Recipe) -> Iterator[None]:
    """Say in one sentence what keeps the very first step from being taken: settings that nothing looked at before."""
    try:
        yield
    except HarnessError:
        raise
    except LIBRARY_ERRORS as error:
        if trainer.state.global_step > 0:
            raise
        raise RecipeError(
            f"{recipe.path}: the first step cannot be taken ({type(error).__name__}: {one_line(error)}); the method or "
            "one of its settings does not fit the model or trl: correct it."
        ) from error


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Say a failure to write in one sentence, with what is left to go on from."""
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        # torch and safetensors tell a full disk in words of their own.
        if not isinstance(error, OSError) and not any(word in str(error) for word in ("writing file", "os error")):
            raise
        start = newest_whole(folder)
        rest = f"; the same command then goes on after step {start.name.partition('-')[2]}" if start else ""
        raise UsageError(
            f"{folder.parent}: the model cannot be written ({' '.join(str(error).split())}): make room on the disk, or "
            f"name another folder{rest}."
        ) from error


def _remove_checkpoints(folder: Path) -> None:
    for checkpoint in checkpoints_in(folder):
        shutil.rmtree(checkpoint)


def _save(trainer: SFTTrainer, folder: Path, base: str) -> None:
    """Save as trl does; an adapter also gets its base's generation settings, and its base by reference."""
    trainer.save_model(str(folder))
    # A pickle of the settings, which the manifest tells in plain text.
    (folder / "training_args.bin").unlink(missing_ok=True)
    if isinstance(trainer.model, PeftModel):
        trainer.model.get_base_model().generation_config.save_pretrained(folder)
        # By its folder in a cache, the base would be lost on any other machine. Named after saving, because peft
        # asks the hub about the base that it saves an adapter of.
        config = PeftConfig.from_pretrained(str(folder))
        config.base_model_name_or_path = str(Path(base).resolve()) if Path(base).exists() else base
        config.save_pretrained(str(folder))
