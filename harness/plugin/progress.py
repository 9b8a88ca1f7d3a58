"""Progress bars on the terminal while a model works; nothing where the output is not a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pytest

from harness.models.batches import Track, silently


def tracker(config: pytest.Config) -> Track:
    """Return how to show progress: a bar that vanishes when done, or silence in a pipe and in xdist workers."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if hasattr(config, "workerinput") or reporter is None or not reporter.isatty:
        return silently

    def track(items: Sequence[Any], description: str) -> Iterable[Any]:
        return _bar(reporter, items, description) if len(items) > 1 else items

    return track


def _bar(reporter: Any, items: Sequence[Any], description: str) -> Iterator[Any]:
    from rich.console import Console
    from rich.progress import Progress

    # pytest captures stdout while a case runs; the terminal reporter holds a duplicate that still reaches the screen.
    console = Console(file=reporter._tw._file)  # pytest offers no other way to the real terminal
    with Progress(console=console, transient=True) as progress:
        yield from progress.track(items, description=description)
