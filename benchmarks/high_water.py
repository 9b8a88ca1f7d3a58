"""How much memory a piece of work needs at its peak, all that was there before it included."""

from __future__ import annotations

import ctypes
import gc
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch

Answer = TypeVar("Answer")

_PROCESS = Path("/proc/self")


def with_peak(work: Callable[[], Answer]) -> tuple[Answer, int | None]:
    """Do the work and return MiB at its peak: of the GPU's memory where there is one, else resident memory on Linux."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        return work(), round(torch.cuda.max_memory_allocated() / 2**20)
    if not sys.platform.startswith("linux"):
        return work(), None
    _forget()
    return work(), _high_water()


def _forget() -> None:
    """Give back what earlier work has left behind, and start the kernel's high-water mark anew."""
    gc.collect()
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):  # glibc keeps freed memory for itself
        libc.malloc_trim(0)
    (_PROCESS / "clear_refs").write_text("5", encoding="ascii")


def _high_water() -> int:
    found = re.search(r"VmHWM:\s*(\d+) kB", (_PROCESS / "status").read_text(encoding="ascii"))
    assert found, "Linux states VmHWM of every process"
    return round(int(found[1]) / 2**10)
