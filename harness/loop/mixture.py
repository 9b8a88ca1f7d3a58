"""The share of each source in what a run consumes, against the share that was planned."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from harness.findings import Note
from harness.inspection.batches import LONGEST_AT_ALL
from harness.loop.looked_at import Loop
from harness.records import Finding
from harness.training.replay import GENERAL

ROWS = 100_000
"""Prepared rows that are counted at most."""

CHANCE = 2.576
"""Standard errors within which a share that was drawn at random lies in 99 of 100 cases."""


def rows_are_mixed_as_planned(loop: Loop, note: Note) -> list[Finding]:
    """Where prepared rows say their ``source``, each has its planned share of the tokens.

    The plan is the recipe's ``replay_share``, or ``planned_shares`` of a trainer of the user's own: a mapping from
    source to its share of the consumed tokens.
    """
    rows = loop.trainer.train_dataset
    if "source" not in (getattr(rows, "column_names", None) or ()):
        return []
    counted = [(str(row["source"]), tuple(row["input_ids"][:LONGEST_AT_ALL])) for row in islice(iter(rows), ROWS)]
    tokens = _tokens(counted)
    shares = {source: count / sum(tokens.values()) for source, count in tokens.items()}
    repeated = _repeated(counted)
    note(
        "consumed tokens by source: "
        + ", ".join(f"{name} {share:.1%}" for name, share in sorted(shares.items()))
        + (f"; rows that come again: {repeated}" if repeated else "")
    )
    return list(_off_plan(_plan(loop), shares, _noise(counted), repeated))


def _plan(loop: Loop) -> Mapping[str, float]:
    own: Any = getattr(loop.trainer, "planned_shares", None)
    if isinstance(own, Mapping):
        return {str(name): float(share) for name, share in own.items()}
    share = loop.recipe.extra.replay_share if loop.recipe is not None else None
    return {} if share is None else {GENERAL: share}


def _tokens(counted: list[tuple[str, tuple[int, ...]]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for source, ids in counted:
        total[source] += len(ids)
    return total


def _noise(counted: list[tuple[str, tuple[int, ...]]]) -> float:
    """The standard error of a share of one half, by the effective number of rows: long ones count for more."""
    lengths = [len(ids) for _, ids in counted]
    return 0.5 * math.sqrt(sum(length**2 for length in lengths)) / max(1, sum(lengths))


def _repeated(counted: list[tuple[str, tuple[int, ...]]]) -> str:
    """How many rows of each source come more than once, beside those that come as often as all of that source do."""
    known: Counter[tuple[str, bytes]] = Counter()
    for source, ids in counted:
        known[source, hashlib.blake2b(repr(ids).encode(), digest_size=8).digest()] += 1
    more = Counter(source for (source, _), times in known.items() if times > 1)
    return ", ".join(f"{source} {count}" for source, count in sorted(more.items()))


def _off_plan(plan: Mapping[str, float], shares: Mapping[str, float], noise: float, repeated: str) -> Iterator[Finding]:
    for source, planned in plan.items():
        found = shares.get(source, 0.0)
        allowed = CHANCE * 2 * math.sqrt(planned * (1 - planned)) * noise
        if abs(found - planned) > max(allowed, 0.005):
            yield Finding(
                "a source has another share of the tokens than was planned",
                f"source {source!r}, over the whole training set",
                f"{planned:.1%} of the consumed tokens, give or take {max(allowed, 0.005):.1%}",
                f"{found:.1%}" + (f"; rows that come again: {repeated}" if repeated else ""),
                "count tokens and not rows, after truncation; interleave_datasets draws with replacement and stops by "
                "its stopping_strategy",
            )
