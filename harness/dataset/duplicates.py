"""Rows that are there more than once, word for word or nearly so. Oversampling by plan is the same: none is a fault."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from harness.dataset.answers import listed
from harness.dataset.row_text import RowText
from harness.dataset.rows_and_samples import RowsAndSamples
from harness.dataset.words import runs, words
from harness.findings import Note

NEAR = 0.8
"""The share of runs of words that two rows have in common (Jaccard) from which on they are nearly the same, as in Lee
et al. 2022 (arXiv:2107.06499)."""

RUN = 3
PERMUTATIONS = 64  # an error of 1/sqrt(64) in finding the candidates, whose runs are then counted
AT_LEAST = 8  # words of a row, below which one word more or less makes it another row

SHOWN = 4

Runs = NDArray[np.uint32]


@dataclass(frozen=True)
class Print:
    """A row with short hashes of all its words and of those of its prompt, and with those of its runs of words."""

    row: RowText
    whole: bytes
    prompt: bytes
    runs: Runs


def tell_duplicates(data: RowsAndSamples, note: Note) -> None:
    """Tell how many rows are there more than once, nearly the same, or answer one prompt in several ways."""
    times: Counter[bytes] = Counter()
    again: list[RowText] = []
    different: list[Print] = []
    for row in data.texts:
        found = _print(row)
        times[found.whole] += 1
        if times[found.whole] > 1:
            again.append(row)
        else:
            different.append(found)
    if again:
        groups = Counter(n for n in times.values() if n > 1)
        often = ", ".join(f"{count} {n} times" for n, count in groups.most_common(3))
        note(
            f"{len(again)} of {len(data.texts)} rows stand before in the same words ({often}), by plan or by mistake: "
            f"{listed(again)}"
        )
    pairs = list(near_pairs(different))
    if pairs:
        shown = ", ".join(f"row {later.number} like row {earlier.number}" for earlier, later in pairs[:SHOWN])
        note(f"{len(pairs)} of {len(different)} different rows are nearly the same as an earlier one: {shown}")
    _tell_prompts(different, note)


def near_pairs(rows: Iterable[Print]) -> Iterator[tuple[RowText, RowText]]:
    """(Earlier row, row) for every row that has 80 % of its runs of words in common with an earlier one.

    One row is kept of each group, so that time and memory grow with the rows and not with their pairs.
    """
    from datasketch import MinHash, MinHashLSH

    index = MinHashLSH(threshold=NEAR, num_perm=PERMUTATIONS)
    blank = MinHash(num_perm=PERMUTATIONS, hashfunc=int)
    kept: dict[int, Print] = {}
    for found in rows:
        if not len(found.runs):
            continue
        sketch = blank.copy()
        sketch.update_batch(found.runs.tolist())
        candidates = (kept[number] for number in sorted(index.query(sketch)))
        earlier = next((each for each in candidates if _alike(each.runs, found.runs) >= NEAR), None)
        if earlier is not None:
            yield earlier.row, found.row
        else:
            index.insert(found.row.number, sketch)
            kept[found.row.number] = found


def _print(row: RowText) -> Print:
    said = [words(text) for _, text in row.turns]
    # A system prompt that all rows share would make all of them nearly the same.
    own = (turn for turn, (role, _) in zip(said, row.turns, strict=True) if role != "system")
    codes = np.array([_code(word) for turn in own for word in turn], dtype=np.uint64)
    found = runs(codes, RUN) if len(codes) >= AT_LEAST else codes[:0]
    return Print(row, _digest(said), _digest(said[:-1]), np.unique(found >> np.uint64(32)).astype(np.uint32))


@lru_cache(maxsize=1 << 17)
def _code(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def _digest(said: Sequence[tuple[str, ...]]) -> bytes:
    text = "\x1e".join("\x1f".join(turn) for turn in said)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _alike(left: Runs, right: Runs) -> float:
    shared = len(np.intersect1d(left, right, assume_unique=True))
    return shared / (len(left) + len(right) - shared)


def _tell_prompts(rows: Sequence[Print], note: Note) -> None:
    by_prompt: dict[bytes, list[RowText]] = defaultdict(list)
    for found in rows:
        if len(found.row.turns) > 1:
            by_prompt[found.prompt].append(found.row)
    several = [group for group in by_prompt.values() if len(group) > 1]
    if several:
        note(
            f"{len(several)} of {len(by_prompt)} prompts have more than one answer, which is well where more "
            f"than one is right: {listed([group[1] for group in several])}"
        )
