"""Several ways to do one piece of work, timed in turns, so that whatever else the machine does meets all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from high_water import with_peak

Answer = TypeVar("Answer")
Key = TypeVar("Key")


@dataclass(frozen=True)
class Timed(Generic[Answer]):
    """What a piece of work took, what came out of it, and its peak memory in MiB where that was asked for."""

    seconds: float
    answer: Answer
    peak: int | None = None


Ways = dict[str, Callable[[], Timed[Any]]]
"""Pieces of work that time themselves, by the names that a table gives them."""


@dataclass(frozen=True)
class Part:
    """One part of the main job. ``seconds`` holds every way's times, the harness's way first.

    ``tokens`` is how many tokens each way works through, where that is the measure; ``remark`` says what the work was
    and whether all ways came to the same answers. ``peaks`` holds MiB of the ways whose memory was looked at.
    """

    name: str
    seconds: Mapping[str, tuple[float, ...]]
    remark: str
    tokens: int | None = None
    peaks: Mapping[str, int] = field(default_factory=dict)

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


def weighed(work: Callable[[], Answer]) -> Callable[[], Timed[Answer]]:
    """As ``stopwatch``, and its peak memory is looked at as well."""

    def timed() -> Timed[Answer]:
        run, peak = with_peak(stopwatch(work))
        return Timed(run.seconds, run.answer, peak)

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


def peaks(runs: Mapping[str, list[Timed[Answer]]]) -> dict[str, int]:
    """Return the highest peak of each way whose memory was looked at."""
    seen = {name: [run.peak for run in timed if run.peak is not None] for name, timed in runs.items()}
    return {name: max(found) for name, found in seen.items() if found}


def trial(ways: Mapping[Key, Callable[[], object]], runs: int = 1) -> dict[Key, float]:
    """Return what each way takes, the best of so many runs: only the quickest then need go into the rounds."""
    took = [{key: stopwatch(work)().seconds for key, work in ways.items()} for _ in range(runs)]
    return {key: min(run[key] for run in took) for key in ways}


def quickest_of(ways: Mapping[Key, Callable[[], object]]) -> Key:
    """Return the key of the way that is quickest in a trial."""
    took = trial(ways)
    return min(took, key=took.__getitem__)


def quickest(times: Mapping[str, tuple[float, ...]]) -> str:
    """Return the way with the smallest median."""
    return min(times, key=lambda name: statistics.median(times[name]))
