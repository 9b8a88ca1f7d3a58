"""All that stands in the zoo, area by area, and what does not, with the reason."""

from __future__ import annotations

import importlib
import pkgutil

from harness import zoo
from harness.zoo.exhibit import Fault, Trap

LEFT_OUT: dict[str, str] = {
    "gate-12": "two seeds of one recipe make two models, which the gate rightly tells apart; what holds of the recipe "
    "needs several trainings, which one run does not have",
}
"""Known faults of these areas that are not in the zoo, by id."""


def faults() -> tuple[Fault, ...]:
    """Every fault, in the order of their ids."""
    return tuple(sorted((fault for module in _modules() for fault in getattr(module, "FAULTS", ())), key=_by_number))


def traps() -> tuple[Trap, ...]:
    """Every trap, in the order of their ids."""
    return tuple(sorted((trap for module in _modules() for trap in getattr(module, "TRAPS", ())), key=_by_number))


def _modules() -> list[object]:
    return [importlib.import_module(f"harness.zoo.{found.name}") for found in pkgutil.iter_modules(zoo.__path__)]


def _by_number(exhibit: Fault | Trap) -> tuple[str, int]:
    area, _, number = exhibit.id.rpartition("-")
    return area, int(number)
