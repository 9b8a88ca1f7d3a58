"""Text as words that survive a change of case, of spaces and of punctuation, and runs of such words as numbers."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]

_UNSPACED = r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]"
_PIECE = re.compile(rf"[\n.?!:;。？！：；]|{_UNSPACED}|[^\W_]+")
"""A mark that ends a sentence or a line, a character of a script without spaces, or a run of letters and digits."""

_FIRST_UNSPACED = "\u3040"
_MARKS = frozenset("\n.?!:;。？！：；")
_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # odd, so that multiplying loses nothing; the golden ratio in 64 bits
_SEED = 0
_MARK = -1


def pieces(text: str) -> list[str]:
    """Words in their comparable form, and between them the marks that end sentences and lines."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return _PIECE.findall(text.casefold())


def words(text: str) -> tuple[str, ...]:
    """Words in their comparable form: case, spaces, punctuation and compatibility forms make no difference."""
    return tuple(piece for piece in pieces(text) if piece not in _MARKS)


def weight(text: Sequence[str]) -> float:
    """How many words these are worth: a character of a script without spaces is half of one."""
    return sum(0.5 if len(word) == 1 and word > _FIRST_UNSPACED else 1.0 for word in text)


class Vocabulary:
    """The words of some texts, each with a random number of 64 bits; every other word is the same unknown one."""

    def __init__(self, texts: Iterable[Sequence[str]]) -> None:
        known = sorted({word for text in texts for word in text})
        self._ids = dict.fromkeys(_MARKS, _MARK) | {word: number for number, word in enumerate(known, start=1)}
        self._codes = np.random.default_rng(_SEED).integers(1, 2**64, len(known) + 1, dtype=np.uint64)

    def codes(self, words: Sequence[str]) -> Hashes:
        """The numbers of words, shape (words,)."""
        return self._codes[[self._ids.get(word, 0) for word in words]]

    def stream(self, texts: Iterable[str]) -> Stream:
        """Texts one after the other.

        Behind every text stands an unknown word, so that no run of known words goes from one text into the next.
        """
        id_of = self._ids.get
        found: list[int] = []
        ends: list[int] = []
        for text in texts:
            found.extend([id_of(piece, 0) for piece in pieces(text)])
            found += (_MARK, 0, _MARK)
            ends.append(len(found))
        ids = np.array(found, dtype=np.int64)
        is_word = ids != _MARK
        at = np.cumsum(is_word)  # of a mark: the number of the word behind it
        begins = np.zeros(at[-1] + 1 if len(at) else 1, dtype=np.bool_)
        begins[0] = True
        begins[at[~is_word]] = True
        text_of = np.repeat(np.arange(len(ends)), np.diff([0, *ends]))
        return Stream(self._codes[ids[is_word]], begins, text_of[is_word])


@dataclass(frozen=True)
class Stream:
    """Texts as numbers: that of each word, where a sentence, a line or a text begins, and each word's text.

    Shapes (words,), (words + 1,) and (words,).
    """

    codes: Hashes
    begins: NDArray[np.bool_]
    text_of: NDArray[np.intp]


def runs(codes: Hashes, n: int) -> Hashes:
    """The hash of every run of ``n`` words, shape (words - n + 1,); a polynomial in the words' numbers, mod 2**64."""
    count = max(0, len(codes) - n + 1)
    hashes = codes[:count].copy()
    for offset in range(1, n):
        hashes *= _FACTOR
        hashes += codes[offset : offset + count]
    return hashes
