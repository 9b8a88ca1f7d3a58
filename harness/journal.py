"""Answers kept on the disk as they come, so that a run that was interrupted, or killed, loses none that it has.

A line a batch, each on the disk before the next batch begins. A kill in the middle of a line leaves a torn one, which
is cut off before anything is added.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from harness.errors import UsageError
from harness.provenance import object_digest

ANSWERS = "answers.jsonl"


class Journal:
    """What one run was answered, as JSON by name, earlier attempts included; ``finished`` when it is used up."""

    def __init__(self, file: Path, answers: dict[str, Any]) -> None:
        self.file = file
        self.answers = answers
        self.finished = False

    def add(self, batch: Mapping[str, Any]) -> None:
        """Write a batch down and keep it; raises UsageError where the disk takes no more."""
        _append(self.file, batch)
        self.answers |= batch


@contextmanager
def opened_journal(folder: Path, inputs: Mapping[str, Any]) -> Iterator[Journal]:
    """The journal of a run with these inputs, in a folder of its own, held by this process alone.

    At the end the folder is removed where the run is finished, or there is no answer in it. Raises UsageError where
    another process holds it, and where it is of a run with other inputs.
    """
    with ExitStack() as held:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            held.enter_context(FileLock(folder / "lock", timeout=0))
        except Timeout:
            raise UsageError(f"{folder}: another run is writing here; wait for it, or name another --output.") from None
        except OSError as error:
            raise UsageError(f"{folder}: cannot be written ({error.strerror}); name another --output.") from error
        journal = _read(folder / ANSWERS, json.loads(json.dumps(inputs)))
        try:
            yield journal
        finally:
            if journal.finished or not journal.answers:
                shutil.rmtree(folder)


def _read(file: Path, inputs: Mapping[str, Any]) -> Journal:
    lines, whole = _whole_lines(file)
    if not lines:
        file.unlink(missing_ok=True)
        _append(file, inputs)
        return Journal(file, {})
    known, *batches = lines
    changed = [name for name in inputs if object_digest(known.get(name)) != object_digest(inputs[name])]
    if changed:
        raise UsageError(
            f"{file.parent}: the answers of an interrupted run with another {' and '.join(changed)} are kept here; "
            "remove the folder, or name another --output."
        )
    os.truncate(file, whole)
    return Journal(file, {name: answer for batch in batches for name, answer in batch.items()})


def _whole_lines(file: Path) -> tuple[list[dict[str, Any]], int]:
    """The objects of all lines up to the first that is torn, and how many bytes they take up."""
    lines: list[dict[str, Any]] = []
    size = 0
    for raw in file.read_bytes().splitlines(keepends=True) if file.is_file() else ():
        try:
            line = json.loads(raw)
        except ValueError:
            break
        if not raw.endswith(b"\n") or not isinstance(line, dict):
            break
        lines.append(line)
        size += len(raw)
    return lines, size


def _append(file: Path, line: Mapping[str, Any]) -> None:
    try:
        with file.open("ab") as stream:
            stream.write(json.dumps(line).encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise UsageError(
            f"{file}: cannot be written ({error.strerror}); make room, and the same command goes on from here."
        ) from error
