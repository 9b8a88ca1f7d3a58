"""A folder that is built once and then only read: by this run, the next one, and processes beside it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock

from harness.errors import UsageError


def default_cache() -> Path:
    """Where such folders are kept unless the user says otherwise: ``pytest-sft`` in the user's cache folder."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "pytest-sft"


def _nothing(_unfinished: Path) -> bool:
    return False


def unfinished_of(folder: Path) -> Path:
    """Where ``built_once`` fills what will be ``folder``."""
    return folder.with_name(f"{folder.name}.unfinished")


def built_once(folder: Path, build: Callable[[Path], None], worth_keeping: Callable[[Path], bool] = _nothing) -> Path:
    """Return ``folder``, letting ``build`` fill it first where it is not there yet.

    ``build`` gets an empty folder beside the final one, which takes its name in a single rename when it is whole: an
    error, a full disk or a kill leaves nothing that a later run would read. Other processes wait for the builder.

    What an interrupted builder leaves is given to the next one where ``worth_keeping`` says so, else removed.
    """
    if folder.is_dir():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            f"the cache folder {folder.parent} cannot be made ({error.strerror}); see --cache-dir."
        ) from None
    with FileLock(f"{folder}.lock"):
        if folder.is_dir():
            return folder
        unfinished = unfinished_of(folder)
        # What a killed builder left behind; the lock says that nobody else is at work on it.
        _remove_unless(worth_keeping, unfinished)
        unfinished.mkdir(exist_ok=True)
        try:
            build(unfinished)
            os.replace(unfinished, folder)
        finally:
            _remove_unless(worth_keeping, unfinished)
    return folder


def _remove_unless(worth_keeping: Callable[[Path], bool], unfinished: Path) -> None:
    if unfinished.is_dir() and not worth_keeping(unfinished):
        shutil.rmtree(unfinished, ignore_errors=True)
