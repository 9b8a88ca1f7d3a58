"""Work in a process of its own, so that its peak of memory is its own."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

from showing import peak_mib

from harness.training.data import without_bars

Answer = TypeVar("Answer")


def in_own_process(work: Callable[..., Answer], *given: object) -> tuple[Answer, int]:
    """Return what the work returns, and the peak of the process that did it, in MiB with all that it imported."""
    fresh = multiprocessing.get_context("spawn")  # a forked process would begin with this one's memory
    with ProcessPoolExecutor(1, mp_context=fresh) as pool:
        return pool.submit(_with_peak, work, *given).result()


def _with_peak(work: Callable[..., Answer], *given: object) -> tuple[Answer, int]:
    with without_bars():
        return work(*given), peak_mib()
