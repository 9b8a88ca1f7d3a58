"""Checkpoints on the way, from which an interrupted run goes on: only whole ones, told apart from half-written ones.

A checkpoint counts from the moment its marker is there. The marker is written last, under its name in a single rename,
and holds the digest of every file, so that neither a kill nor a full disk nor a lost page leaves one that looks whole.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from harness.provenance import file_digest

MARKER = "whole.json"
EVERY = 600.0
"""Seconds between checkpoints where the recipe does not say when: short runs write none, long ones lose ten minutes."""


class Checkpoints(TrainerCallback):  # type: ignore[misc]  # transformers has no types
    """Saves from time to time, marks what is saved, and saves at once where the run is asked to stop.

    ``own`` tells that the recipe asks for no checkpoints: then they are the run's own business, and only the newest is
    kept.
    """

    def __init__(self, folder: Path, *, own: bool, asked_to_stop: Callable[[], bool], spent: float = 0.0) -> None:
        self.folder = folder
        self.own = own
        self.asked_to_stop = asked_to_stop
        self.spent = spent
        self.began = self.saved = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **beside: Any) -> Any:  # noqa: ARG002
        """Ask for a checkpoint where it is time for one."""
        stop = self.asked_to_stop() and state.global_step < state.max_steps
        if stop or (self.own and time.monotonic() - self.saved >= EVERY):
            control.should_save = True
            control.should_training_stop |= stop
        return control

    def on_save(self, args: Any, state: Any, control: Any, **beside: Any) -> None:  # noqa: ARG002
        """Mark what was just saved."""
        self.saved = time.monotonic()
        written = self.folder / f"checkpoint-{state.global_step}"
        mark_whole(written, self.spent + self.saved - self.began)
        if self.own:
            for older in checkpoints_in(self.folder)[1:]:
                shutil.rmtree(older)


def mark_whole(checkpoint: Path, seconds: float) -> None:
    """Write the marker: every file's digest, and the seconds of training that led here."""
    files = {str(file.relative_to(checkpoint)): file_digest(file) for file in _files(checkpoint)}
    half = checkpoint / f"{MARKER}.part"
    half.write_text(json.dumps({"seconds": round(seconds, 2), "files": files}, indent=1), encoding="utf-8")
    os.replace(half, checkpoint / MARKER)


def newest_whole(folder: Path) -> Path | None:
    """The newest whole checkpoint of an interrupted run; what is half-written is removed on the way to it."""
    for checkpoint in checkpoints_in(folder):
        if is_whole(checkpoint):
            return checkpoint
        shutil.rmtree(checkpoint)
    return None


def is_whole(checkpoint: Path) -> bool:
    """Whether the marker is there and every file is as it says."""
    try:
        files = json.loads((checkpoint / MARKER).read_text(encoding="utf-8"))["files"]
        return all(file_digest(checkpoint / name) == digest for name, digest in files.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def seconds_spent(checkpoint: Path) -> float:
    """Seconds of training that led to a whole checkpoint."""
    return float(json.loads((checkpoint / MARKER).read_text(encoding="utf-8"))["seconds"])


def checkpoints_in(folder: Path) -> list[Path]:
    """The folders of checkpoints, the newest first."""
    found = [each for each in folder.glob("checkpoint-*") if each.name.partition("-")[2].isdigit()]
    return sorted(found, key=lambda each: -int(each.name.partition("-")[2]))


def _files(checkpoint: Path) -> list[Path]:
    marks = (MARKER, f"{MARKER}.part")
    return sorted(file for file in checkpoint.rglob("*") if file.is_file() and file.name not in marks)
