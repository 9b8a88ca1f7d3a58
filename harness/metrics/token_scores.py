"""Answers and references as words: SQuAD's token F1, and how far the answers are from the length of the references."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import cache

import numpy as np

from harness.metrics.script import Letter, ScriptTokenizer, letter
from harness.metrics.text_scores import TextRule

_ARTICLES = re.compile(r"\b(?:a|an|the)\b")
_ASCII_PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")


def squad_tokens(text: str) -> list[str]:
    """Words as SQuAD's evaluation script normalises them: lower case, without punctuation and English articles.

    As in MLQA, punctuation is that of every script, and a character of a script without spaces is a word.
    """
    kept = "".join(character for character in text.lower() if not _is_punctuation(character))
    kept = _ARTICLES.sub(" ", kept)
    return "".join(f" {each} " if _is_a_word(each) else each for each in kept).split()


def token_f1(answer: str, references: Sequence[str]) -> float:
    """F1 over the words that answer and reference share, the best of the references; two texts of no words agree."""
    said = squad_tokens(answer)
    return max(_f1(said, squad_tokens(reference)) for reference in references)


def _f1(said: Sequence[str], wanted: Sequence[str]) -> float:
    if not said or not wanted:
        return float(said == wanted)
    shared = (Counter(said) & Counter(wanted)).total()
    if shared == 0:
        return 0.0
    precision, recall = shared / len(said), shared / len(wanted)
    return 2 * precision * recall / (precision + recall)


def _is_punctuation(character: str) -> bool:
    return character in _ASCII_PUNCTUATION or unicodedata.category(character)[0] == "P"


def _is_a_word(character: str) -> bool:
    return letter(character) in (Letter.HAN, Letter.UNSPACED, Letter.EMOJI)


def _lengths(answer: str, references: Sequence[str]) -> tuple[float, float]:
    """Words of the answer, and of the reference nearest in length (the shorter of two), as BLEU's brevity has it."""
    said, *wanted = (len(_words().tokenize(text)) for text in (answer, *references))
    return float(said), float(min(wanted, key=lambda length: (abs(length - said), length)))


def _length_ratio(statistics: np.ndarray) -> float:
    said, wanted = statistics.sum(axis=0).tolist()
    if said == wanted:
        return 1.0
    return float(said / wanted) if wanted else math.inf


def _length_error(statistics: np.ndarray) -> float:
    """Neither longer nor shorter is better, so what a gate can judge is how far from 1 the ratio is: 1 - 1/2 at both
    half and double the length."""
    shorter, longer = sorted(statistics.sum(axis=0).tolist())
    return 1 - float(shorter / longer) if longer else 0.0


@cache
def _words() -> ScriptTokenizer:
    return ScriptTokenizer()


TOKEN_F1 = TextRule(
    "token_f1",
    "level:mean|tok:squad+script|case:lc|articles:no|punct:no|refs:max",
    lambda answer, references: (token_f1(answer, references),),
)
LENGTH_RATIO = TextRule(
    "length_ratio", "level:corpus|tok:rouge+script|refs:closest", _lengths, _length_ratio, chance=None
)
LENGTH_ERROR = TextRule("length_error", LENGTH_RATIO.settings, _lengths, _length_error, best=0.0, chance=None)
