"""The GPUs that torch will see, counted without torch: where each process has one of its own, it must be told early."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

VISIBLE = "CUDA_VISIBLE_DEVICES"


def gpus(device: str, environment: Mapping[str, str] = os.environ, nodes: Path = Path("/dev")) -> list[str]:
    """The GPUs that ``--device`` leaves to be shared out, as CUDA_VISIBLE_DEVICES names them.

    There are none where a device is named by its number, or where the CPU is. Without CUDA_VISIBLE_DEVICES they are
    those for which the driver keeps a file; a count that is too high is told when torch cannot find one.
    """
    if device not in ("auto", "cuda"):
        return []
    named = environment.get(VISIBLE)
    if named is None:
        found = [path for path in nodes.glob("nvidia*") if re.fullmatch(r"nvidia\d+", path.name)]
        return [str(number) for number in range(len(found))]
    visible = [name.strip() for name in named.split(",")]
    # CUDA itself stops at the first name that is none.
    end = next((at for at, name in enumerate(visible) if name in ("", "-1", "NoDevFiles")), len(visible))
    return visible[:end]
