"""How much memory there is for a model, and how much a model will need."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import torch

from harness.models.weight_files import stored_tensors
from harness.provenance import WEIGHTS

PROC, CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")

_FIRST_VERSION = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_SECOND_VERSION = ("memory.max", "memory.current", "inactive_file")
"""Names of a control group's files, and what its statistics call pages of files that go when memory is wanted."""


def needed_bytes(folder: Path, dtype: torch.dtype) -> int:
    """What a checkpoint's weights take up once they are loaded in this dtype."""
    stored = stored_tensors(folder)
    if stored:
        return sum(math.prod(each.shape) for each in stored.values()) * dtype.itemsize
    return sum(file.stat().st_size for pattern in WEIGHTS for file in folder.glob(pattern))


def free_bytes(device: torch.device) -> int | None:
    """What can still be allocated on a device; None where the system does not tell."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return None if device.type != "cpu" else free_memory()


def free_memory(proc: Path = PROC, cgroups: Path = CGROUPS) -> int | None:
    """What the machine has left, or the container that this process runs in; None outside Linux."""
    meminfo = proc / "meminfo"
    if not meminfo.is_file():
        return None
    lines = dict(line.split(":", 1) for line in meminfo.read_text(encoding="utf-8").splitlines() if ":" in line)
    machine = int(lines["MemAvailable"].split()[0]) * 1024
    return min([machine, *_left_in_groups(proc, cgroups)])


def _left_in_groups(proc: Path, cgroups: Path) -> Iterator[int]:
    """What is left in each control group that holds this process, from the innermost outwards."""
    membership = proc / "self" / "cgroup"
    for line in membership.read_text(encoding="utf-8").splitlines() if membership.is_file() else ():
        number, controllers, path = line.split(":", 2)
        if number == "0" and not controllers:
            root, (limit, used, idle) = cgroups, _SECOND_VERSION
        elif "memory" in controllers.split(","):
            root, (limit, used, idle) = cgroups / "memory", _FIRST_VERSION
        else:
            continue
        inner = root / path.lstrip("/")
        for group in (inner, *inner.parents):
            if group.is_relative_to(root) and (group / limit).is_file() and (group / used).is_file():
                yield from _left(group, limit, used, idle)


def _left(group: Path, limit: str, used: str, idle: str) -> Iterator[int]:
    allowed = (group / limit).read_text(encoding="ascii").strip()
    if allowed == "max":
        return
    statistics = dict(line.split() for line in (group / "memory.stat").read_text(encoding="ascii").splitlines())
    yield int(allowed) - int((group / used).read_text(encoding="ascii")) + int(statistics.get(idle, 0))
