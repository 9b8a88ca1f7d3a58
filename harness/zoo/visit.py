"""A walk through the zoo: every fault injected and looked for, every twin and trap looked at in vain."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from harness.training.data import without_bars
from harness.zoo.examine import examine
from harness.zoo.exhibit import Fault, Setup, Trap


@dataclass(frozen=True)
class Seen:
    """What became of one exhibit.

    ``red`` holds the cases that found something in the fault, ``named`` those of them that must, and ``sentence`` what
    the first of these found. ``false_alarms`` holds the cases that found something in its twin, or in a trap, with
    their first finding. ``broken`` says why an exhibit could not be built or looked at.
    """

    id: str
    name: str
    seconds: float
    red: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    caught: bool | None = None
    sentence: str = ""
    false_alarms: tuple[tuple[str, str], ...] = ()
    has_twin: bool = True
    broken: str = ""
    source: str = ""
    where: str = ""

    @property
    def sound(self) -> bool:
        """Whether all went as it should: a fault caught, nothing else flagged."""
        return self.caught is not False and not self.false_alarms and not self.broken


def visit(exhibit: Fault | Trap) -> Seen:
    """Build the exhibit and run every check that applies to it."""
    began = time.perf_counter()
    with _quietly():
        try:
            seen = _fault(exhibit) if isinstance(exhibit, Fault) else _trap(exhibit)
        except Exception as error:  # an exhibit that breaks is one result of many, and says so
            broken = f"{type(error).__name__}: {error}"
            seen = Seen(exhibit.id, exhibit.name, 0.0, source=getattr(exhibit, "source", ""), broken=broken)
    return replace(seen, seconds=time.perf_counter() - began)


def _fault(fault: Fault) -> Seen:
    found = examine(fault.inject())
    named = [name for name in fault.caught_by if name in found]
    return Seen(
        fault.id,
        fault.name,
        0.0,
        red=tuple(found),
        named=tuple(named),
        caught=bool(named),
        sentence=found[named[0]][0].what if named else "",
        false_alarms=_flagged(fault.twin) if fault.twin else (),
        has_twin=fault.twin is not None,
        source=fault.source,
        where=fault.where,
    )


def _trap(trap: Trap) -> Seen:
    return Seen(trap.id, trap.name, 0.0, false_alarms=_flagged(trap.build))


def _flagged(build: Callable[[], Setup]) -> tuple[tuple[str, str], ...]:
    return tuple((name, findings[0].what) for name, findings in examine(build()).items())


@contextmanager
def _quietly() -> Iterator[None]:
    """What the libraries say about a fault is theirs to say; here every exhibit has one line."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), without_bars():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
