"""Made-up scores of right and wrong answers, before and after, whose true drop is known."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np

from harness.records import Measurement, SampleScore
from harness.statistics import Floats

Pair = tuple[Measurement, Measurement]

RIGHT, WRONG = SampleScore((1.0,), "d"), SampleScore((0.0,), "d")


@cache
def sample_ids(n: int) -> tuple[str, ...]:
    """Names of n samples."""
    return tuple(f"{number:05}" for number in range(n))


def measured(right: Floats, *, name: str = "questions/acc", problems: tuple[str, ...] = ()) -> Measurement:
    """The measurement of n answers that are right (1) or wrong (0)."""
    value, n = float(right.mean()), len(right)
    return Measurement(
        name=name,
        metric="acc",
        value=value,
        stderr=float(np.sqrt(value * (1 - value) / n)),
        n=n,
        signature="metric:acc|version:1",
        higher_is_better=True,
        scores={each: RIGHT if hit else WRONG for each, hit in zip(sample_ids(n), right, strict=True)},
        problems=problems,
    )


def flipped(random: np.random.Generator, n: int, discordant: float, drop: float, right: float = 0.7) -> Pair:
    """Before and after of n answers: a share ``discordant`` flips either way, and a share ``drop`` is lost on top."""
    draw = random.random(n)
    lost, won = draw < discordant / 2 + drop, draw >= 1 - discordant / 2
    before = np.where(lost, 1.0, np.where(won, 0.0, random.random(n) < right))
    after = np.where(lost, 0.0, np.where(won, 1.0, before))
    return measured(before), measured(after)


def pairs(runs: int, n: int, discordant: float, drop: float = 0.0) -> Iterator[Pair]:
    """So many independent pairs, the same ones each time."""
    random = np.random.default_rng([n, round(1e4 * discordant), round(1e4 * drop)])
    for _ in range(runs):
        yield flipped(random, n, discordant, drop)


def releases(random: np.random.Generator, count: int, n: int, step: float, discordant: float) -> list[Measurement]:
    """A chain of releases, each ``step`` worse than the one before in expectation, flipping ``discordant`` of n."""
    right = (random.random(n) < 0.8).astype(float)
    chain = [measured(right)]
    for _ in range(count):
        draw = random.random(n)
        # Of the right ones (most of them) as many more are lost as the step says; as many others come and go.
        lost = draw < (discordant / 2 + step / 2) / right.mean()
        won = draw < (discordant / 2 - step / 2) / max(1e-9, 1 - right.mean())
        right = np.where(right == 1, 1.0 - lost, won.astype(float))
        chain.append(measured(right))
    return chain
