"""Which scripts put no spaces between words, and a tokenizer that counts their characters instead."""

from __future__ import annotations

import unicodedata
from enum import Enum
from functools import lru_cache
from itertools import groupby

_HAN = frozenset({"CJK", "IDEOGRAPHIC", "BOPOMOFO"})
_OTHER_UNSPACED = frozenset(
    {"HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "HALFWIDTH", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN"}
)

_EARLY_EMOJI = frozenset("⌚⌛⏩⏪⏫⏬⏰⏳⬛⬜⭐⭕")
"""Those that stand among older symbols, which belong to Latin text (⌘, ■)."""


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
    if category == "So" and (0x2600 <= point < 0x27C0 or point >= 0x1F000 or character in _EARLY_EMOJI):
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


class ScriptTokenizer:
    """rouge-score's tokenizer for Latin script, unchanged, and words or characters for every other script."""

    def __init__(self) -> None:
        from rouge_score.tokenizers import DefaultTokenizer

        self._latin = DefaultTokenizer(use_stemmer=False)

    def tokenize(self, text: str) -> list[str]:
        """Tokens in their order: a Chinese character, kana or emoji is one; Cyrillic or Arabic words are one each."""
        return [token for kind, run in groupby(text, key=letter) for token in self._split(kind, "".join(run).lower())]

    def _split(self, kind: Letter, run: str) -> list[str]:
        match kind:
            case Letter.LATIN:
                tokens: list[str] = self._latin.tokenize(run)
                return tokens
            case Letter.SPACED:
                return [run]
            case Letter.HAN | Letter.UNSPACED | Letter.EMOJI:
                return list(run)
