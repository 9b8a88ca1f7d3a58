"""Which scripts put no spaces between words, so that a text metric must count their characters instead."""

from __future__ import annotations

import unicodedata
from enum import Enum
from functools import lru_cache

_HAN = frozenset({"CJK", "IDEOGRAPHIC", "BOPOMOFO"})
_OTHER_UNSPACED = frozenset(
    {"HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "HALFWIDTH", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN"}
)


class Letter(Enum):
    """What a character is to a tokenizer that knows only a to z and 0 to 9."""

    LATIN = "left to the Latin tokenizer: Latin letters, digits, punctuation, spaces"
    SPACED = "part of a word in another script that writes spaces (Cyrillic, Greek, Arabic, Hangul, Devanagari)"
    HAN = "a word of its own: Chinese characters"
    UNSPACED = "a word of its own: other scripts without spaces (kana, Thai)"
    EMOJI = "a word of its own in any script"


@lru_cache(maxsize=2**16)
def letter(character: str) -> Letter:
    """The class of one character, by its Unicode category and the first word of its Unicode name."""
    point, category = ord(character), unicodedata.category(character)
    if category == "So" and (0x2600 <= point < 0x27C0 or point >= 0x1F000):
        return Letter.EMOJI
    # Below Greek lie Latin letters and their accents; 0x2000 to 0x2BFF hold punctuation, symbols and circled digits;
    # the variation selectors only colour an emoji.
    outside = point < 0x370 or 0x2000 <= point < 0x2C00 or 0xFE00 <= point < 0xFE10
    if outside or category[0] not in "LMN":
        return Letter.LATIN
    match unicodedata.name(character, "").split(" ", 1)[0]:
        case "LATIN":
            return Letter.LATIN
        case name if name in _HAN:
            return Letter.HAN
        case name if name in _OTHER_UNSPACED:
            return Letter.UNSPACED
    return Letter.SPACED
