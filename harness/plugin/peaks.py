"""How much memory this process has held at its most, as the system and torch have counted it all along."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.records import Peak

STATUS = Path("/proc/self/status")


def peak_of(config: pytest.Config, status: Path = STATUS) -> dict[str, Peak]:
    """This process's peak by the name that xdist gives it; nothing where the system keeps no account."""
    resident = _resident(status)
    if resident is None:
        return {}
    worker = getattr(config, "workerinput", {}).get("workerid", "")
    return {worker: Peak(worker, resident, _on_gpus(sys.modules.get("torch")))}


def _resident(status: Path) -> int | None:
    """Bytes of resident memory at their highest."""
    if status.is_file():
        # Linux's own account: that of getrusage begins with what the parent process held when it started this one.
        found = re.search(r"^VmHWM:\s*(\d+) kB", status.read_text(encoding="ascii", errors="replace"), re.MULTILINE)
        return int(found[1]) * 1024 if found else None
    try:
        import resource
    except ImportError:  # Windows has none
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def _on_gpus(torch: Any) -> int | None:
    """Bytes that tensors took up at their most on the fullest GPU; None where this process has used none."""
    if torch is None or not torch.cuda.is_initialized():
        return None
    return max(int(torch.cuda.max_memory_allocated(number)) for number in range(torch.cuda.device_count())) or None
