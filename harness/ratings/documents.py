"""JSON files of this package: written whole or not at all, and read with a sentence for whatever is wrong with one."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import DataError, UsageError

VERSION = 1
LARGEST = 256 << 20
"""Bytes of a file that is read at all; a sheet of ten thousand long answers has a tenth of it."""


@dataclass(frozen=True)
class Fields:
    """A JSON object at a named place, whose fields are asked for by type; a DataError where they are not so."""

    values: Mapping[str, Any]
    where: str

    @classmethod
    def of(cls, value: Any, where: str) -> Fields:
        """Check that the value is an object."""
        if not isinstance(value, dict):
            raise DataError(f"{where}: a JSON object is expected, this is {type(value).__name__}.")
        return cls(value, where)

    def text(self, key: str) -> str:
        """The text under ``key``."""
        value = self.values.get(key)
        if not isinstance(value, str):
            raise DataError(f"{self.where}: {key} must be a text, and it is {self._shown(key)}.")
        return value

    def flag(self, key: str) -> bool:
        """The true or false under ``key``."""
        value = self.values.get(key)
        if not isinstance(value, bool):
            raise DataError(f"{self.where}: {key} must be true or false, and it is {self._shown(key)}.")
        return value

    def record(self, key: str) -> Fields:
        """The object under ``key``."""
        return Fields.of(self.values.get(key), f"{self.where}, {key}")

    def records(self, key: str) -> list[Fields]:
        """The objects in the list under ``key``."""
        value = self.values.get(key)
        if not isinstance(value, list):
            raise DataError(f"{self.where}: {key} must be a list, and it is {self._shown(key)}.")
        return [Fields.of(each, f"{self.where}, {key}[{position}]") for position, each in enumerate(value)]

    def texts(self) -> dict[str, str]:
        """All fields, each a text."""
        return {key: self.text(key) for key in self.values}

    def _shown(self, key: str) -> str:
        return repr(self.values[key])[:60] if key in self.values else "missing"


def read_text(path: Path) -> str:
    """The text of a file in UTF-8, with or without a byte order mark."""
    try:
        if path.stat().st_size > LARGEST:
            raise DataError(f"{path}: has {path.stat().st_size >> 20} MiB, {LARGEST >> 20} at most are read.")
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); check the path.") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 at byte {error.start}; save the file as UTF-8.") from None


def read_document(path: Path, kind: str) -> Fields:
    """Read a file that ``write_document`` or the page wrote; raises DataError for another kind or a newer version."""
    try:
        value = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}: not valid JSON at column {error.colno}: {error.msg}.") from None
    except (ValueError, RecursionError):
        raise DataError(f"{path}: holds numbers too long or lists too deep to be read.") from None
    fields = Fields.of(value, str(path))
    if fields.values.get("format") != kind:
        raise DataError(f"{path}: is not a file of {kind} (its format is {str(fields.values.get('format'))[:60]!r}).")
    if fields.values.get("version") != VERSION:
        raise DataError(f"{path}: has version {fields.values.get('version')!r}, and {VERSION} is read here; update.")
    return fields


def write_document(path: Path, kind: str, content: Mapping[str, Any]) -> None:
    """Write a JSON file whole or not at all; raises UsageError where it cannot be written."""
    text = json.dumps({"format": kind, "version": VERSION, **content}, indent=1, ensure_ascii=False)
    write_whole(path, text + "\n")


def write_whole(path: Path, text: str) -> None:
    """Write a text beside ``path`` first, so that a kill or a full disk leaves no half of it."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            unfinished.write_bytes(text.encode("utf-8"))
            os.replace(unfinished, path)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror}); name a place you may write to.") from None
