"""JSON that people may have edited or broken, read field by field: every fault is one sentence with its place."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from harness.errors import BaselineError

REMEDY = "restore it from version control, or delete its folder and record it again with --baseline-update"


def damaged(place: str, fault: str) -> BaselineError:
    """The error for a damaged place of a stored file."""
    return BaselineError(f"{place}: {fault}: {REMEDY}")


def parsed(text: str, place: str) -> Any:
    """Parses one JSON text. Raises BaselineError with line and column."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        # The place of a JSONL line already names the line.
        line = f" line {error.lineno}" if "\n" in text else ""
        raise damaged(f"{place}{line} column {error.colno}", f"no valid JSON ({error.msg})") from error
    except (ValueError, RecursionError) as error:  # a number too long to read, brackets too deep to follow
        raise damaged(place, f"no readable JSON ({error})") from error


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number")


@dataclass(frozen=True)
class Record:
    """A JSON object at a named place, whose fields are asked for by type."""

    values: Mapping[str, Any]
    place: str

    @classmethod
    def of(cls, value: Any, place: str) -> Record:
        """Checks that the value is an object."""
        if not isinstance(value, dict):
            raise damaged(place, f"an object is needed, not {_kind(value)}")
        return cls(value, place)

    def record(self, key: str) -> Record:
        """The object under ``key``."""
        return Record.of(self._get(key), f"{self.place}, {key}")

    def text(self, key: str) -> str:
        """The text under ``key``."""
        value = self._get(key)
        if not isinstance(value, str):
            raise self._wrong(key, "text", value)
        return value

    def flag(self, key: str) -> bool:
        """The true or false under ``key``."""
        value = self._get(key)
        if not isinstance(value, bool):
            raise self._wrong(key, "true or false", value)
        return value

    def whole(self, key: str) -> int:
        """The whole number from 0 up under ``key``."""
        value = self._get(key)
        if type(value) is not int or value < 0:
            raise self._wrong(key, "a whole number from 0 up", value)
        return value

    def number(self, key: str) -> float:
        """The finite number under ``key``."""
        return self._finite(key, self._get(key))

    def numbers(self, key: str) -> tuple[float, ...]:
        """The finite numbers under ``key``, one at least."""
        value = self._get(key)
        if not isinstance(value, list) or not value:
            raise self._wrong(key, "a list of numbers", value)
        return tuple(self._finite(key, each) for each in value)

    def _get(self, key: str) -> Any:
        if key not in self.values:
            raise damaged(self.place, f"the key {key!r} is missing")
        return self.values[key]

    def _finite(self, key: str, value: Any) -> float:
        # A whole number beyond the range of float cannot be a score either.
        if type(value) not in (int, float) or not -1e300 < value < 1e300 or not math.isfinite(value):
            raise self._wrong(key, "a finite number", value)
        return float(value)

    def _wrong(self, key: str, needed: str, value: Any) -> BaselineError:
        return damaged(self.place, f"{key} must be {needed}, not {_kind(value)}")


def _kind(value: Any) -> str:
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    shown = json.dumps(value)
    return shown if len(shown) <= 40 else f"{shown[:40]}..."
