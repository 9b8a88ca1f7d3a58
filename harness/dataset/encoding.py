"""Characters that were lost or changed on the way: read in the wrong encoding, half of a pair, controls."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape

from harness.dataset.answers import listed
from harness.dataset.row_text import ASSISTANT, TEXT, RowText
from harness.dataset.rows_and_samples import RowsAndSamples
from harness.findings import Note
from harness.records import Finding

ROWS, SHARE = 3, 0.01
"""3 rows, and 1 % of all, whose answers have it are no oddity of a source but a step of the preparation."""

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_HALF = re.compile("[\ud800-\udfff]")
_ENTITY = re.compile(r"&(?:amp|lt|gt|quot|apos|nbsp|#\d{2,5}|#x[0-9a-fA-F]{2,5});")


def text_is_decoded_as_it_was_written(data: RowsAndSamples, note: Note) -> list[Finding]:
    """No answers are in a wrong encoding, have lost characters, or hold control characters; single ones are noted."""
    findings = []
    for what, has, remedy in KINDS:
        held = {row.number: {role for role, text in row.turns if has(text)} for row in data.texts}
        rows = [row for row in data.texts if held[row.number]]
        learned = [row for row in rows if held[row.number] & {ASSISTANT, TEXT}]
        if len(learned) >= max(ROWS, SHARE * len(data.texts)):
            findings.append(_finding(what, learned, len(data.texts), remedy))
        elif rows:
            note(f"{len(rows)} of {len(data.texts)} rows hold {what}: {listed(rows)}")
    entities = [row for row in data.texts if any(_holds_entities(text) for _, text in row.turns)]
    if entities:
        note(
            f"{len(entities)} of {len(data.texts)} rows write characters as HTML does, in text without tags "
            f"(&amp; &quot;): {listed(entities)}"
        )
    return findings


def _is_misread(text: str) -> bool:
    """Whether ftfy finds a text that is valid in another encoding, and likelier there."""
    if text.isascii():
        return False
    from ftfy import fix_encoding
    from ftfy.badness import is_bad

    return bool(is_bad(text)) and fix_encoding(text) != text


def _is_half(text: str) -> bool:
    return not text.isascii() and _HALF.search(text) is not None


def _holds_entities(text: str) -> bool:
    return "&" in text and "<" not in text and _ENTITY.search(text) is not None and unescape(text) != text


KINDS: tuple[tuple[str, Callable[[str], bool], str], ...] = (
    (
        "text that was read in a wrong encoding",
        _is_misread,
        "read the source as UTF-8 (ftfy.fix_text repairs what is left of it)",
    ),
    (
        "the replacement character U+FFFD where a character was lost",
        lambda text: "\ufffd" in text,
        "read the source again in its own encoding: what is lost cannot be repaired",
    ),
    (
        "half a character (a surrogate), which no tokenizer reads",
        _is_half,
        "write the text again from its source, as UTF-8",
    ),
    (
        "control characters",
        lambda text: _CONTROL.search(text) is not None,
        "take them out: terminal colours and the like are no text",
    ),
)


def _finding(what: str, rows: list[RowText], total: int, remedy: str) -> Finding:
    return Finding(
        f"answers hold {what}",
        listed(rows),
        "answers as their authors wrote them",
        f"{len(rows)} of {total} rows whose answers have it",
        remedy,
    )
