"""The share of each source in what a run consumes, against the share that was planned."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from harness.findings import Note
from harness.inspection.batches import LONGEST_AT_ALL, drawn_rows
from harness.loop.looked_at import Loop
from harness.records import Finding
from harness.training.replay import GENERAL

if TYPE_CHECKING:
    from transformers import Trainer

ROWS, STREAMED = 100_000, 2_000
"""Prepared rows that are counted at most: of a set that is at hand, and of one that arrives row by row."""

CHANCE = 2.576
"""Standard errors within which a share that was drawn at random lies in 99 of 100 cases."""


@dataclass(frozen=True)
class Row:
    """A prepared row: where it is from, how many tokens it has, and a digest of them."""

    source: str
    tokens: int
    digest: bytes


def rows_are_mixed_as_planned(loop: Loop, note: Note) -> list[Finding]:
    """Where there is a plan and prepared rows say their ``source``, each has its share of the tokens that are drawn.

    The plan is the recipe's ``replay_share``, or ``planned_shares`` of a trainer of the user's own: a mapping from
    source to its share of the consumed tokens.
    """
    plan, columns = _plan(loop), set(getattr(loop.trainer.train_dataset, "column_names", None) or ())
    if not plan:
        return []
    if not {"source", "input_ids"} <= columns:
        note("the mixture is not counted: prepared rows have no column source beside their input_ids")
        return []
    consumed = _consumed(loop.trainer)
    tokens = _tokens(consumed)
    shares = {source: count / sum(tokens.values()) for source, count in tokens.items()}
    repeated = _repeated(consumed)
    note(
        "consumed tokens by source: "
        + ", ".join(f"{name} {share:.1%}" for name, share in sorted(shares.items()))
        + (f"; rows that come again: {repeated}" if repeated else "")
    )
    return list(_off_plan(plan, shares, _noise(consumed), repeated))


def _consumed(trainer: Trainer) -> list[Row]:
    """The rows that the run takes, in its first pass over them."""
    rows: Any = trainer.train_dataset
    chosen = rows.select_columns(["source", "input_ids"])
    if not hasattr(rows, "__len__"):
        return list(map(_row, islice(iter(chosen), STREAMED)))
    known = list(map(_row, islice(iter(chosen), ROWS)))
    drawn = drawn_rows(trainer, _room(trainer)) or range(len(known))
    return [known[number] for number in drawn if number < len(known)]


def _room(trainer: Trainer) -> int:
    """How many rows the run has room for, where it ends after ``max_steps`` and not after whole passes."""
    a_step = trainer.args.train_batch_size * trainer.args.gradient_accumulation_steps
    return min(ROWS, trainer.args.max_steps * a_step) if trainer.args.max_steps > 0 else ROWS


def _row(row: Mapping[str, Any]) -> Row:
    ids = row["input_ids"][:LONGEST_AT_ALL]
    return Row(str(row["source"]), len(ids), hashlib.blake2b(repr(ids).encode(), digest_size=8).digest())


def _plan(loop: Loop) -> Mapping[str, float]:
    own: Any = getattr(loop.trainer, "planned_shares", None)
    if isinstance(own, Mapping):
        return {str(name): float(share) for name, share in own.items()}
    share = loop.recipe.extra.replay_share if loop.recipe is not None else None
    return {} if share is None else {GENERAL: share}


def _tokens(consumed: Sequence[Row]) -> Counter[str]:
    total: Counter[str] = Counter()
    for row in consumed:
        total[row.source] += row.tokens
    return total


def _noise(consumed: Sequence[Row]) -> float:
    """The standard error of a share of one half, by the effective number of rows: long ones count for more."""
    return 0.5 * math.sqrt(sum(row.tokens**2 for row in consumed)) / max(1, sum(row.tokens for row in consumed))


def _repeated(consumed: Sequence[Row]) -> str:
    """How many different rows of each source come more than once."""
    times = Counter((row.source, row.digest) for row in consumed)
    more = Counter(source for (source, _), count in times.items() if count > 1)
    return ", ".join(f"{source} {count}" for source, count in sorted(more.items()))


def _off_plan(plan: Mapping[str, float], shares: Mapping[str, float], noise: float, repeated: str) -> Iterator[Finding]:
    for source, planned in plan.items():
        found = shares.get(source, 0.0)
        allowed = CHANCE * 2 * math.sqrt(planned * (1 - planned)) * noise
        if abs(found - planned) > max(allowed, 0.005):
            yield Finding(
                "a source has another share of the tokens than was planned",
                f"source {source!r}, in what the run draws from the training set",
                f"{planned:.1%} of the consumed tokens, give or take {max(allowed, 0.005):.1%}",
                f"{found:.1%}" + (f"; rows that come again: {repeated}" if repeated else ""),
                "count tokens and not rows, after truncation; interleave_datasets draws with replacement and stops by "
                "its stopping_strategy",
            )
