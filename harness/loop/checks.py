"""Every check of a training loop, by the name of the case that makes it in the suites."""

from __future__ import annotations

from collections.abc import Callable

from harness.findings import Note
from harness.loop.looked_at import Loop
from harness.records import Finding

LOOP: dict[str, Callable[[Loop, Note], list[Finding]]] = {}
"""Of a few steps of the user's own trainer, which is the same afterwards."""
