"""What a look at a checkpoint says: in lines for a reader, and in numbers for a tracker."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from harness.records import Outcome
from harness.training.look import Look


def told(look: Look, seconds: float) -> Iterator[str]:
    """A line for each verdict, for cases that failed without one, and for a look that broke."""
    for verdict in look.verdicts:
        yield f"{in_words(verdict)}, {verdict['reason']}"
    if look.failed:
        yield f"{len(look.failed)} cases failed, {look.failed[0]} first; see {look.report.with_suffix('.txt')}"
    if look.broken:
        yield f"not judged: {look.broken}; see {look.report.with_suffix('.txt')}"
    yield f"looked at in {seconds:.0f} s"


def numbers_of(look: Look) -> dict[str, float]:
    """Every measurement, its drop, how many have regressed, and whether the look broke, by the names they are drawn."""
    numbers: dict[str, Any] = {
        "regression/regressed": float(len(look.failing(frozenset({Outcome.REGRESSED})))),
        "regression/broken": float(bool(look.broken)),
    }
    for verdict in look.verdicts:
        numbers[f"regression/{verdict['measurement']}"] = verdict["value"]
        numbers[f"regression/{verdict['measurement']}_drop"] = verdict["drop"]
    return {name: value for name, value in numbers.items() if isinstance(value, float)}


def in_words(verdict: Mapping[str, Any]) -> str:
    """A verdict's measurement, outcome and, where there are any, its numbers."""
    numbers = [f"{value:.4g}" for value in (verdict["reference_value"], verdict["value"]) if isinstance(value, float)]
    shown = f" ({' -> '.join(numbers)})" if numbers else ""
    against = f" against {verdict['reference']}" if verdict["reference"] else ""
    return f"{verdict['measurement']} {verdict['outcome']}{shown}{against}"
