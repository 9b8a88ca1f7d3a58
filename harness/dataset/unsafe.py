"""Words of a list that anybody can read and change, found in what is learned. A word is no verdict: rows are told."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from harness.dataset.answers import listed
from harness.dataset.row_text import RowText
from harness.dataset.rows_and_samples import RowsAndSamples
from harness.errors import DataError
from harness.findings import Note

WORDS = Path(__file__).parent / "unsafe_words.txt"


@dataclass(frozen=True)
class Category:
    """Words under one name, and the pattern of each: whole words, blanks between them of any width."""

    name: str
    patterns: tuple[tuple[str, re.Pattern[str]], ...]

    def held(self, answers: Sequence[str]) -> Iterator[str]:
        """The words of the category that the answers hold."""
        folded = [answer.casefold() for answer in answers]
        for first, pattern in self.patterns:
            # Looking for the first word as it is takes a tenth of the time that the pattern takes.
            for text in folded:
                if first in text and (match := pattern.search(text)):
                    yield " ".join(match[0].split())


def tell_unsafe_words(data: RowsAndSamples, note: Note) -> None:
    """Tell the rows whose answers hold a word of the list, by category."""
    for category in categories(data.unsafe_words or WORDS):
        rows: list[RowText] = []
        words: set[str] = set()
        for row in data.texts:
            if found := set(category.held(row.answers)):
                rows.append(row)
                words |= found
        if rows:
            said = ", ".join(sorted(words))
            note(f"{len(rows)} of {len(data.texts)} rows answer with words of {category.name} ({said}): {listed(rows)}")


@cache
def categories(path: Path) -> tuple[Category, ...]:
    """The list of words in a file.

    Raises DataError where it cannot be read, or where a word stands before the first category.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: the list of words cannot be read ({error}); save it as UTF-8 text.") from None
    by_name: dict[str, list[str]] = {}
    for number, line in enumerate((line.strip() for line in lines), start=1):
        if line.startswith("[") and line.endswith("]"):
            words = by_name.setdefault(line[1:-1].strip(), [])
        elif line and not line.startswith("#"):
            if not by_name:
                raise DataError(f"{path}:{number}: a word before the first [category]; write one above it.")
            words.append(line.casefold())
    return tuple(Category(name, tuple(map(_pattern, words))) for name, words in by_name.items())


def _pattern(word: str) -> tuple[str, re.Pattern[str]]:
    parts = word.split()
    joined = r"\s+".join(map(re.escape, parts))
    return parts[0], re.compile(rf"(?<!\w){joined}(?!\w)")
