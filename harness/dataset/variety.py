"""How varied the answers are, and which rows stand out by their length or their script."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from harness.dataset.answers import listed
from harness.dataset.row_text import RowText, opening
from harness.dataset.rows_and_samples import RowsAndSamples
from harness.dataset.words import words
from harness.findings import Note

AT_LEAST = 20
"""Rows below which there is no usual length and no usual script."""

FAR = 3.5
"""Robust standard deviations (0.6745 / MAD) beyond which a length is an outlier, as Iglewicz and Hoaglin 1993 have
it; of the logarithms, because lengths are skewed."""

READ = 20_000
"""Answers of which words are counted: distinct-n falls with the number of words, so it is told for a fixed number."""

RARE = 0.05
"""A script that at most 5 % of the answers are in stands out."""

UNSPACED, LETTERS_OF_AN_IDEOGRAPH = "Chinese or Japanese", 3
"""One such character says as much as some letters: a Chinese sentence may hold a Latin name that is longer."""

LETTERS = 400
"""Characters of an answer by which its script is told."""

OPENING_WORDS, COMMON = 3, 0.1


def tell_variety(data: RowsAndSamples, note: Note) -> None:
    """Tell distinct-1 and distinct-2 (Li et al. 2016, arXiv:1510.03055), and answers and openings that are common."""
    answers = [answer for row in data.texts if (answer := row.last_answer.strip())]
    if len(answers) < AT_LEAST:
        return
    ones: Counter[str] = Counter()
    twos: Counter[tuple[str, str]] = Counter()
    openings: Counter[tuple[str, ...]] = Counter()
    read = answers[:READ]
    for answer in read:
        said = words(answer)
        ones.update(said)
        twos.update(pairwise(said))
        openings[said[:OPENING_WORDS]] += 1
    note(
        f"variety of {len(read)} answers: distinct-1 {_distinct(ones)}, distinct-2 {_distinct(twos)}, "
        f"{len(set(read)) / len(read):.0%} different answers"
    )
    answer, n = Counter(read).most_common(1)[0]
    if n > COMMON * len(read):
        note(f"{n} of {len(read)} answers are {opening(answer)}")
    beginning, n = openings.most_common(1)[0]
    if n > COMMON * len(read) and len(beginning) == OPENING_WORDS:
        note(f"{n} of {len(read)} answers begin with {' '.join(beginning)!r}")


def tell_outliers(data: RowsAndSamples, note: Note) -> None:
    """Tell the rows whose answers are far longer or shorter than the others, or in a script that few are in."""
    rows = [row for row in data.texts if row.last_answer.strip()]
    if len(rows) < AT_LEAST:
        return
    lengths = np.array([len(row.last_answer) for row in rows])
    usual_length = int(np.median(lengths))
    for name, chosen in _far(rows, lengths):
        note(
            f"{len(chosen)} of {len(rows)} answers are far {name} than the others (half have less than {usual_length} "
            f"characters): {listed(chosen)}"
        )
    scripts = [script(row.last_answer) for row in rows]
    usual = Counter(name for name in scripts if name)
    for name, n in usual.items():
        if n <= RARE * len(rows):
            chosen = [row for row, written in zip(rows, scripts, strict=True) if written == name]
            note(f"{n} of {len(rows)} answers are written in {name} letters: {listed(chosen)}")


def _far(rows: Sequence[RowText], lengths: NDArray[np.int64]) -> Iterator[tuple[str, list[RowText]]]:
    logs = np.log(lengths)
    deviation = np.abs(logs - np.median(logs))
    spread = np.median(deviation)
    if spread == 0:
        return
    far = 0.6745 * deviation / spread > FAR
    for name, side in (("longer", logs > np.median(logs)), ("shorter", logs < np.median(logs))):
        chosen = [rows[at] for at in np.flatnonzero(far & side).tolist()]
        if chosen:
            yield name, chosen


def script(text: str) -> str:
    """The script that most letters of a text are in, by the first word of their Unicode names; empty without letters.

    Kanji, Hiragana and Katakana, which Japanese writes side by side, count as one.
    """
    beginning = text[:LETTERS]
    if beginning.isascii():
        return "Latin" if any(map(str.isalpha, beginning)) else ""
    counted: Counter[str] = Counter()
    for name in map(_script, beginning):
        counted[name] += LETTERS_OF_AN_IDEOGRAPH if name == UNSPACED else 1
    del counted[""]
    return counted.most_common(1)[0][0] if counted else ""


@lru_cache(maxsize=4096)
def _script(character: str) -> str:
    if not character.isalpha():
        return ""
    name = unicodedata.name(character, "").split(" ")[0].split("-")[0].capitalize()
    return UNSPACED if name in ("Cjk", "Hiragana", "Katakana") else name


def _distinct(counted: Counter[str] | Counter[tuple[str, str]]) -> str:
    return f"{len(counted) / max(1, counted.total()):.3f}"
