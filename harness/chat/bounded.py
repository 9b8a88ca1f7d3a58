"""Templates are programs of strangers: each rendering gets so much time and memory, and no more.

Time is counted on the processor, by a timer of its own, so that neither a busy machine nor somebody else's alarm plays
a part. Memory is bounded by the address space, only while a template runs. Both need Linux, and the main thread;
elsewhere only the length of the text is looked at. One operation in C, on all the memory allowed, is not interrupted.
"""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import get_ident, main_thread
from typing import Any

from harness.errors import ModelError

MEMORY_IN_USE = "/proc/self/statm"
CAN_LIMIT = os.path.exists(MEMORY_IN_USE)
if CAN_LIMIT:
    from resource import RLIM_INFINITY, RLIMIT_AS, getpagesize, getrlimit, setrlimit

    PAGE = getpagesize()

ADVICE = "look at its loops and macros, or use the template of the base model"


@dataclass(frozen=True)
class Bounds:
    """What a template may use for one conversation: seconds on the processor, bytes beside those in use, characters.

    A longer text is allowed where the conversation itself is long: ``growth`` characters for each of its own.
    """

    seconds: float = 5.0
    memory: int = 1 << 30
    characters: int = 1 << 22
    growth: int = 20


BOUNDS = Bounds()


class _OutOfTime(BaseException):
    """Not an Exception: templates and their filters may catch those."""


def bounded(write: Callable[[], str], given: Sequence[Any], bounds: Bounds = BOUNDS) -> str:
    """Return what ``write`` renders from the messages ``given``.

    Raises:
        ModelError: it takes more time, memory or text than the bounds allow, or calls itself without an end.

    """
    wrong = ""
    try:
        text = _limited(write, bounds) if CAN_LIMIT and get_ident() == main_thread().ident else write()
    except _OutOfTime:
        wrong = f"is still at work after {bounds.seconds:g} s of computing"
    except MemoryError:
        wrong = f"wants more than {bounds.memory / 2**20:g} MiB of memory"
    except RecursionError:
        wrong = "calls itself without an end"
    else:
        if len(text) <= bounds.characters or len(text) <= bounds.characters + bounds.growth * len(str(given)):
            return text
        wrong = f"writes {len(text):,} characters"
        del text
    # Out of the except clause, so that the error does not keep all that memory alive.
    raise ModelError(f"the chat template {wrong} for a conversation of {len(given)} messages: {ADVICE}")


def _limited(write: Callable[[], str], bounds: Bounds) -> str:
    """Run it with a timer and a lower limit of the address space, and put both back as they were.

    It runs for every conversation, some ten thousand times, so it is written to take microseconds.
    """
    running = True

    def stop(*_: Any) -> None:
        if running:
            raise _OutOfTime

    soft, hard = getrlimit(RLIMIT_AS)
    wanted = _address_space() + bounds.memory
    allowed = min([wanted, *(limit for limit in (soft, hard) if limit != RLIM_INFINITY)])
    before = signal.signal(signal.SIGVTALRM, stop)
    # Destructors of strangers' objects must not run where an exception may hit them, nor in the depth of a recursion.
    collects = gc.isenabled()
    gc.disable()
    try:
        setrlimit(RLIMIT_AS, (allowed, hard))
        # Again after each further second, should a destructor swallow the first.
        left, interval = signal.setitimer(signal.ITIMER_VIRTUAL, bounds.seconds, 1.0)
        try:
            return write()
        finally:
            running = False
            signal.setitimer(signal.ITIMER_VIRTUAL, left, interval)
    finally:
        setrlimit(RLIMIT_AS, (soft, hard))
        signal.signal(signal.SIGVTALRM, before or signal.SIG_DFL)
        if collects:
            gc.enable()


def _address_space() -> int:
    """Bytes of address space that the process has."""
    file = os.open(MEMORY_IN_USE, os.O_RDONLY)
    try:
        return int(os.read(file, 100).split()[0]) * PAGE
    finally:
        os.close(file)
