"""Runs of words that training rows share with evaluation samples, in time that grows with the texts' length alone."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.dataset.asked import SHORT_RUN, Asked, sizes
from harness.dataset.row_text import RowText
from harness.dataset.words import Hashes, Stream, Vocabulary, runs

AT_ONCE = 2_000
"""Rows whose words are held at a time."""

OWN_ROWS, OWN_SHARE, MOST_OWN_ROWS = 5, 0.01, 50
"""A run is a sample's own if at most 5 different training rows hold it, or 1 % of them, and never more than 50: beyond
that it is a licence, an instruction or a document that many rows quote."""

OWN_SAMPLES, OWN_SAMPLES_SHARE = 2, 0.05
"""... and if it is in at most 2 samples of its set, or 5 % of them."""

ENOUGH = 0.5
"""The share of a question's own runs that a row must hold before the two are looked at more closely."""

Run = tuple[int, int]
"""A run of words: how many, and their hash."""


@dataclass(frozen=True)
class Held:
    """The rows that hold at least half of a sample's own runs, each with the share that it holds.

    ``own`` are the words of the question that stand in no shared run.
    """

    own: tuple[str, ...]
    shares: dict[int, float]


class Questions:
    """The runs of words of samples, to be looked up in training rows."""

    def __init__(self, items: Sequence[Asked]) -> None:
        self._items = items
        self._vocabulary = Vocabulary(item.question for item in items)
        self._runs = [self._runs_of(item) for item in items]
        self._owners = _own_in_their_sets(items, self._runs)
        self._wanted = {n: _sorted(value for m, value in self._owners if m == n) for n in {n for n, _ in self._owners}}

    def _runs_of(self, item: Asked) -> list[Run]:
        return [(item.run, value) for value in runs(self._vocabulary.codes(item.question), item.run).tolist()]

    def held_by(self, rows: Sequence[RowText]) -> dict[int, Held]:
        """What rows hold of the samples, by the sample's number; samples without a run of their own are left out."""
        holders, different = self._holders(rows)
        most = min(MOST_OWN_ROWS, max(OWN_ROWS, int(OWN_SHARE * different)))
        found = {}
        for number in range(len(self._items)):
            own = {run for run in self._runs[number] if number in self._owners[run] and len(holders[run]) <= most}
            counted = Counter(row for run in own for row in holders[run])
            shares = {row: n / len(own) for row, n in counted.items() if n >= ENOUGH * len(own)}
            if shares:
                found[number] = Held(self._words_apart(number, own), shares)
        return found

    def _words_apart(self, number: int, own: set[Run]) -> tuple[str, ...]:
        question, n = self._items[number].question, self._items[number].run
        shared = {at + i for at, run in enumerate(self._runs[number]) if run not in own for i in range(n)}
        return tuple(word for at, word in enumerate(question) if at not in shared)

    def _holders(self, rows: Sequence[RowText]) -> tuple[dict[Run, list[int]], int]:
        """The rows that hold each run, of equal rows the first, and the number of different rows."""
        holders: dict[Run, list[int]] = defaultdict(list)
        seen: set[bytes] = set()
        for start in range(0, len(rows), AT_ONCE):
            different = [row for row in rows[start : start + AT_ONCE] if _is_new(row, seen)]
            texts = [(row.number, text) for row in different for _, text in row.turns]
            stream = self._vocabulary.stream(text for _, text in texts)
            row_of = np.array([number for number, _ in texts], dtype=np.intp)
            for n, wanted in self._wanted.items():
                for row, value in _hits(stream, n, wanted, row_of):
                    if len(holding := holders[n, value]) <= MOST_OWN_ROWS:
                        holding.append(row)
        return holders, len(seen)


def _own_in_their_sets(items: Sequence[Asked], runs_of: Sequence[list[Run]]) -> dict[Run, set[int]]:
    """Every run with the samples whose own it is: what many samples of a set begin with tells nothing of any."""
    owners: dict[Run, set[int]] = defaultdict(set)
    for number, found in enumerate(runs_of):
        for run in found:
            owners[run].add(number)
    most = {name: max(OWN_SAMPLES, OWN_SAMPLES_SHARE * count) for name, count in sizes(items).items()}
    for run, numbers in owners.items():
        in_set = Counter(items[number].of for number in numbers)
        owners[run] = {number for number in numbers if in_set[items[number].of] <= most[items[number].of]}
    return owners


def _is_new(row: RowText, seen: set[bytes]) -> bool:
    """Whether no row before this one says the same, spaces and case left out; ``seen`` learns it."""
    said = "\0".join("".join(text.split()) for _, text in row.turns).casefold()
    digest = hashlib.blake2b(said.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    if digest in seen:
        return False
    seen.add(digest)
    return True


def _hits(stream: Stream, n: int, wanted: Hashes, row_of: NDArray[np.intp]) -> Iterator[tuple[int, int]]:
    """(Row, hash) of every wanted run; one of a short question counts where it is a whole sentence or line."""
    hashes = runs(stream.codes, n)
    at = np.minimum(np.searchsorted(wanted, hashes), len(wanted) - 1)
    places = np.flatnonzero(wanted[at] == hashes)
    if n < SHORT_RUN:
        places = places[stream.begins[places] & stream.begins[places + n]]
    yield from set(zip(row_of[stream.text_of[places]].tolist(), hashes[places].tolist(), strict=True))


def _sorted(values: Iterable[int]) -> Hashes:
    return np.array(sorted(values), dtype=np.uint64)
