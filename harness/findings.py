"""Findings as a reader wants them: the same fault once, with the number of the places where it shows too."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from harness.records import Finding

Note = Callable[[str], None]
"""Told what is worth knowing and no failure: what was measured, and why nothing could be said."""


def silent(_: str) -> None:
    """A note that nobody reads."""


def spelled_out(findings: Sequence[Finding], limit: int) -> Iterator[str]:
    """The first finding of each kind in full, ``limit`` kinds at most, each with how many more there are of it."""
    kinds: dict[str, list[Finding]] = {}
    for finding in findings:
        kinds.setdefault(finding.what, []).append(finding)
    for alike in list(kinds.values())[:limit]:
        more = f"\n  and       {len(alike) - 1} more like it" if len(alike) > 1 else ""
        yield f"{alike[0]}{more}"
    if len(kinds) > limit:
        yield f"and {len(kinds) - limit} other kinds of finding"
