"""Progress bars on the terminal while a model works; nothing where the output is not a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from harness.engine.batches import Track, silently

if TYPE_CHECKING:
    from rich.console import Console

    from harness.training.watch import Step


def tracker(config: pytest.Config) -> Track:
    """Return how to show progress: a bar that vanishes when done, or silence in a pipe and in xdist workers."""
    console = _terminal(config)
    if console is None:
        return silently

    def track(items: Sequence[Any], description: str) -> Iterable[Any]:
        return _bar(console, items, description) if len(items) > 1 else items

    return track


@contextmanager
def training_bar(config: pytest.Config) -> Iterator[Callable[[Step], None] | None]:
    """Give something to tell every step to, or None where nobody would see it."""
    console = _terminal(config)
    if console is None:
        yield None
        return
    from rich.progress import Progress

    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("training", total=None)
        yield lambda step: progress.update(
            task, completed=step.done, total=step.total, description=f"training, loss {step.loss:.3f}"
        )


def _bar(console: Console, items: Sequence[Any], description: str) -> Iterator[Any]:
    from rich.progress import Progress

    with Progress(console=console, transient=True) as progress:
        yield from progress.track(items, description=description)


def _terminal(config: pytest.Config) -> Console | None:
    """Return a console on the real terminal: pytest captures stdout, but its reporter holds a duplicate."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if hasattr(config, "workerinput") or reporter is None or not reporter.isatty:
        return None
    from rich.console import Console

    return Console(file=reporter._tw._file)  # pytest offers no other way to the real terminal
