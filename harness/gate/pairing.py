"""Two measurements side by side: whether they may be compared, and their samples joined by id."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from harness.errors import InvalidRunError
from harness.records import Aggregate, Measurement
from harness.scores import Scores
from harness.statistics import Floats, Ints, group_codes, value_of

NOISE = 1e-5
"""Relative: float32 sums of some hundred terms differ by about 1e-6 between batches, thread counts and machines."""

NOTHING_KNOWN: Mapping[str, str] = MappingProxyType({})

NAMED = 3
"""Ids that a message names before it only counts."""


@dataclass(frozen=True)
class Table:
    """A measurement with its samples in the order of their ids; ``rows`` has shape (n samples, k statistics)."""

    measurement: Measurement
    ids: tuple[str, ...]
    rows: Floats
    digests: tuple[str, ...]
    clusters: tuple[str, ...]

    def positions(self, ids: Iterable[str]) -> Ints:
        """Row numbers of ``ids``."""
        row = {each: number for number, each in enumerate(self.ids)}
        return np.array([row[each] for each in ids], dtype=np.int64)


@dataclass(frozen=True)
class Pairs:
    """The samples that both measurements hold, in the order of their ids.

    ``before`` and ``after`` have shape (n samples, k statistics); ``codes`` (n,) numbers the clusters. ``sign`` turns a
    difference before - after into a drop: 1 where higher is better, else -1.
    """

    ids: tuple[str, ...]
    before: Floats
    after: Floats
    codes: Ints
    aggregate: Aggregate | None
    sign: int
    chance: float | None = None

    @property
    def binary(self) -> bool:
        """Every score is 0 or 1, or a tie of both sides at 0.5, so that samples can flip whole and nothing else."""
        if self.aggregate is not None:
            return False
        tied = (self.before == 0.5) & (self.after == 0.5)
        return bool((np.isin(self.before, (0.0, 1.0)) & np.isin(self.after, (0.0, 1.0)) | tied).all())

    @property
    def moved(self) -> bool:
        """Whether any score differs between the two sides."""
        return not np.array_equal(self.before, self.after)

    @property
    def clusters(self) -> int:
        """Groups of samples that are independent of each other."""
        return int(self.codes.max()) + 1

    @property
    def differences(self) -> Floats:
        """Drop of each sample (n,), for scores whose value is their mean."""
        return self.sign * (self.before[:, 0] - self.after[:, 0])

    @property
    def values(self) -> tuple[float, float]:
        """The metric's value before and after, over the joined samples."""
        return value_of(self.before, self.aggregate), value_of(self.after, self.aggregate)


def tabulate(measurement: Measurement) -> Table:
    """Orders the samples by id. Raises InvalidRunError, in a clause, for a measurement that holds no usable numbers."""
    if measurement.problems:
        raise InvalidRunError("; ".join(measurement.problems))
    scores = measurement.scores
    assert isinstance(scores, Scores)
    if not scores:
        raise InvalidRunError("no sample was scored")
    widths = np.diff(np.frombuffer(scores.ends, dtype=np.int64), prepend=0)
    if widths.min() == 0 or widths.min() != widths.max():
        counts = map(str, sorted(set(widths.tolist())))
        raise InvalidRunError(f"its samples hold {listed(counts)} numbers each, where all must hold as many")
    rows = np.frombuffer(scores.numbers, dtype=np.float64).reshape(len(scores), -1)
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(bad):
        raise InvalidRunError(f"the score of {listed(scores.ids[row] for row in bad)} is not a finite number")
    return Table(measurement, scores.ids, rows, scores.digests, scores.clusters)


def value_fault(table: Table, aggregate: Aggregate | None) -> str:
    """Why the value is not what the scores give (another rule, a file edited by hand), in a clause; empty if it is."""
    width = table.rows.shape[1]
    if aggregate is None and width != 1:
        return f"its samples hold {width} numbers, but no aggregate says what they add up to"
    stated, given = table.measurement.value, value_of(table.rows, aggregate)
    # Stored values have six digits; a mean over 100,000 scores is off by far less.
    same = math.isclose(stated, given, rel_tol=1e-4, abs_tol=1e-6)
    return "" if same else f"the value is {stated:.6g}, but its scores give {given:.6g}"


def why_not_comparable(old: Table, new: Table, differences: Mapping[str, str] = NOTHING_KNOWN) -> str:
    """What differs between two measurements so that their difference has no meaning, in a clause; empty if nothing.

    ``differences`` are words for a field of the signature, said where that field differs.
    """
    settings = _signature_changes(old.measurement, new.measurement, differences)
    if settings:
        return f"the signature differs: {settings}"
    if old.rows.shape[1] != new.rows.shape[1]:
        return f"a sample holds {old.rows.shape[1]} numbers in the reference and {new.rows.shape[1]} in this run"
    fault = value_fault(old, new.measurement.aggregate)  # a file cannot hold the aggregate
    return f"in the reference {fault}" if fault else _data_changes(old, new)


def join(old: Table, new: Table) -> Pairs:
    """Joins two comparable measurements by sample id; scores that differ by arithmetic noise only count as equal."""
    if old.ids == new.ids:
        ids, before, after = new.ids, old.rows, new.rows
        clusters = new.clusters
    else:
        ids = tuple(sorted(set(old.ids) & set(new.ids)))
        kept = new.positions(ids)
        before, after = old.rows[old.positions(ids)], new.rows[kept]
        clusters = tuple(new.clusters[row] for row in kept)
    sign = 1 if new.measurement.higher_is_better else -1
    after = np.where(np.isclose(before, after, rtol=NOISE, atol=0.0), before, after)
    return Pairs(ids, before, after, group_codes(clusters), new.measurement.aggregate, sign, new.measurement.chance)


def _signature_changes(old: Measurement, new: Measurement, differences: Mapping[str, str]) -> str:
    """The fields that differ, old -> new, of two texts ``key:value|key:value``."""
    was, now = _fields(old), _fields(new)
    changed = [key for key in sorted(was.keys() | now.keys()) if was.get(key) != now.get(key)]
    if changed:
        return ", ".join(
            f"{key} {was.get(key, '(none)')} -> {now.get(key, '(none)')}"
            + (f" ({differences[key]})" if differences.get(key) else "")
            for key in changed
        )
    return "" if old.signature == new.signature else f"{old.signature} -> {new.signature}"


def _fields(measurement: Measurement) -> dict[str, str]:
    parts = (part.partition(":") for part in measurement.signature.split("|"))
    direction = "higher" if measurement.higher_is_better else "lower"
    return {key: value for key, _, value in parts} | {"metric": measurement.metric, "better": direction}


def _data_changes(old: Table, new: Table) -> str:
    if old.ids == new.ids and old.digests == new.digests:
        return ""
    was, now = (dict(zip(each.ids, each.digests, strict=True)) for each in (old, new))
    common = was.keys() & now.keys()
    changed = [each for each in common if was[each] != now[each]]
    if changed:
        return f"{len(changed)} of {len(common)} samples have other content under the same id: {listed(changed)}"
    if old.measurement.limited or new.measurement.limited:
        return "" if len(common) > 1 else f"{len(common)} samples are in both limited sets, where 2 are needed"
    faults = [(was.keys() - now.keys(), "are not in this run"), (now.keys() - was.keys(), "are not in the reference")]
    return "; ".join(f"{len(ids)} samples {where}: {listed(ids)}" for ids, where in faults if ids)


def listed(ids: Iterable[str]) -> str:
    """The first few ids in order and the number of the others: ``a, b, c and 18 more``."""
    ordered = sorted(ids)
    shown = ", ".join(ordered[:NAMED])
    return shown if len(ordered) <= NAMED else f"{shown} and {len(ordered) - NAMED} more"
