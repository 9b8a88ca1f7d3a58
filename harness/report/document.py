"""The report for machines: all of it, as JSON, with every per-sample score."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from enum import Enum
from numbers import Integral, Real
from typing import Any

from harness.records import Report
from harness.report import summary
from harness.report.text import hidden

SCHEMA = 1
"""Raised when a key changes its meaning or goes away; a new key does not raise it."""

_NOT_DATA = {"aggregate"}  # a function; a measurement's signature names it


def to_json(report: Report) -> str:
    """Return the report as a JSON object.

    Keys come in the order of the records, free mappings sorted. A value that does not exist is ``null``; one that is
    no finite number is the text ``"NaN"``, ``"Infinity"`` or ``"-Infinity"``, since JSON has no such numbers.
    """
    document = {
        "schema": SCHEMA,
        "gate": {
            "passes": summary.passes(report),
            "fail_on": sorted(report.fail_on),
            "failed": [v.measurement for v in report.verdicts if summary.fails(report, v)],
            "counts": {outcome.value: n for outcome, n in summary.counts(report.verdicts).items()},
        },
        "config": _plain(report.config),
        "environment": _plain(report.environment),
        "measurements": _plain(report.measurements),
        "verdicts": _plain(report.verdicts),
        "broken": [{"case": nodeid, "message": message} for nodeid, message in report.broken],
        "notes": _plain(report.notes),
        "answers": _plain(report.answers),
        "rows": [
            {"row": preview.row, "runs": [{"text": text, "supervised": kept} for text, kept in preview.runs]}
            for preview in report.rows
        ],
        "stages": _plain(report.stages),
        "peaks": _plain(report.peaks),
        "next_steps": _plain(report.next_steps),
    }
    return _without_hidden(json.dumps(document, ensure_ascii=False, allow_nan=False, indent=2)) + "\n"


def _plain(value: Any) -> Any:
    """Return records, mappings and numbers as what JSON has; anything else as its text."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str | Enum):
        return str(value)
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real):
        return _number(float(value))
    if dataclasses.is_dataclass(value):
        names = (field.name for field in dataclasses.fields(value))
        return {name: _plain(getattr(value, name)) for name in names if name not in _NOT_DATA}
    if isinstance(value, Mapping):
        return {str(key): _plain(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, set | frozenset):
        return sorted((_plain(item) for item in value), key=str)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value)


def _number(value: float) -> float | str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def _without_hidden(text: str) -> str:
    """Escape what must not reach a reader's terminal raw (bidi, C1 controls); such characters occur only in strings."""
    lines = text.split("\n")
    return "\n".join(line if line.isprintable() else "".join(map(_escaped, line)) for line in lines)


def _escaped(character: str) -> str:
    return json.dumps(character)[1:-1] if hidden(character) else character
