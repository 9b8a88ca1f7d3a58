"""Several ways to do one piece of work, timed in turns, so that whatever else the machine does meets all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Timed(Generic[Answer]):
    """What a piece of work took and what came out of it."""

    seconds: float
    answer: Answer


@dataclass(frozen=True)
class Part:
    """One part of the main job. ``seconds`` holds every way's times, the harness's way first.

    ``tokens`` is how many tokens each way works through, where that is the measure; ``remark`` says what the work was
    and whether all ways came to the same answers.
    """

    name: str
    seconds: Mapping[str, tuple[float, ...]]
    remark: str
    tokens: int | None = None

    def ratio(self, way: str) -> float:
        """How many times as fast as ``way`` the harness is: the median of the ratios within each round."""
        ours = next(iter(self.seconds.values()))
        return statistics.median(theirs / mine for mine, theirs in zip(ours, self.seconds[way], strict=True))


def stopwatch(
    work: Callable[[], Answer], clock: Callable[[], float] = time.perf_counter
) -> Callable[[], Timed[Answer]]:
    """Turn a piece of work into one that tells how long it took by ``clock``."""

    def timed() -> Timed[Answer]:
        began = clock()
        answer = work()
        return Timed(clock() - began, answer)

    return timed


def in_turns(ways: Mapping[str, Callable[[], Timed[Answer]]], repeats: int) -> dict[str, list[Timed[Answer]]]:
    """Run every way ``repeats`` times; each round starts with another way, so that none always goes first."""
    names = list(ways)
    runs: dict[str, list[Timed[Answer]]] = {name: [] for name in names}
    for turn in range(repeats):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            runs[name].append(ways[name]())
    return runs


def seconds(runs: Mapping[str, list[Timed[Answer]]]) -> dict[str, tuple[float, ...]]:
    """Return the times alone."""
    return {name: tuple(run.seconds for run in timed) for name, timed in runs.items()}


def quickest(times: Mapping[str, tuple[float, ...]]) -> str:
    """Return the way with the smallest median."""
    return min(times, key=lambda name: statistics.median(times[name]))
