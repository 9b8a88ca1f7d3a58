"""Ctrl-C during a training: the step under way is finished first, so that the run can go on from it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def interrupt_after_step(can_go_on: bool) -> Iterator[Callable[[], bool]]:
    """Give something that tells whether Ctrl-C was pressed; pressed twice, it interrupts at once.

    Nothing changes for a run that could not go on anyway, and outside the main thread, where Python hears no signals.
    """
    asked = threading.Event()
    if not can_go_on or threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    before = signal.getsignal(signal.SIGINT)

    def hear(_number: int, _frame: Any) -> None:
        if asked.is_set() or not callable(before):
            raise KeyboardInterrupt
        asked.set()

    signal.signal(signal.SIGINT, hear)
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGINT, before)
