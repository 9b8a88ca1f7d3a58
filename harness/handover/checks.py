"""Every check at hand-over, by the name of the case that makes it in the suites."""

from __future__ import annotations

from collections.abc import Callable

from harness.findings import Note
from harness.handover.delivery import Delivery
from harness.records import Finding

FILES: dict[str, Callable[[Delivery, Note], list[Finding]]] = {}
"""Of the files of a delivery, in a moment."""

WEIGHTS: dict[str, Callable[[Delivery, Note], list[Finding]]] = {}
"""Of what its weights compute: these load it, some of them more than once."""
