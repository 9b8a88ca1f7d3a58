"""The scoring rules for text against references: one algorithm each, used by measurements and evaluate modules alike.

The arithmetic is sacrebleu's and rouge-score's; only the choice of tokenizer is ours, because neither library's
default can read a script without spaces.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from harness.metrics.script import Letter, ScriptTokenizer, letter
from harness.records import Aggregate


@dataclass(frozen=True)
class TextRule:
    """How one answer is scored against its references, and how the scores of a corpus become a value.

    ``score`` gives one number, or the segment statistics that ``aggregate`` turns into the corpus score.
    ``settings`` is the part of the signature that says what was chosen. It never depends on the samples at hand,
    so that a subset stays comparable with the whole set. A rule of answers alone (``needs_references`` False) gets
    whatever references there are and looks at none. ``best`` is the score of a perfect answer,
    ``chance`` is as in ``Measurement``.
    """

    name: str
    settings: str
    score: Callable[[str, Sequence[str]], tuple[float, ...]]
    aggregate: Aggregate | None = None
    best: float = 1.0
    needs_references: bool = True
    chance: float | None = 0.0

    def of(self, answers: Sequence[str], references: Sequence[Sequence[str]]) -> float:
        """The corpus value of answers, each beside its references."""
        return self.value([self.score(*pair) for pair in zip(answers, references, strict=True)])

    def value(self, scores: Sequence[tuple[float, ...]]) -> float:
        """The corpus value of a list of scores."""
        table = np.array(scores, dtype=np.float64)
        return float(table[:, 0].mean()) if self.aggregate is None else self.aggregate(table)


def bleu_tokenizer(references: Sequence[str]) -> str:
    """The sacrebleu tokenizer for one sample, by the script of its references (the answer has no say in it).

    ``zh`` splits Chinese characters and treats the rest as ``13a`` does. It leaves kana and Thai unsplit, and
    sacrebleu's own tokenizers for these need packages with dictionaries; ``char`` serves them all.
    """
    found = {letter(character) for character in "".join(references)}
    if Letter.UNSPACED in found:
        return "char"
    return "zh" if Letter.HAN in found else "13a"


def _bleu_statistics(answer: str, references: Sequence[str]) -> tuple[float, ...]:
    return _segment_statistics(_bleu(bleu_tokenizer(references)), answer, references)


def _chrf_statistics(answer: str, references: Sequence[str]) -> tuple[float, ...]:
    return _segment_statistics(_chrf(), answer, references)


def _ter_statistics(answer: str, references: Sequence[str]) -> tuple[float, ...]:
    tokenizer = bleu_tokenizer(references)
    if tokenizer == "char":
        answer, *references = map(_characters(), [answer, *references])
    return _segment_statistics(_ter(asian=tokenizer == "zh"), answer, references)


def _segment_statistics(metric: Any, answer: str, references: Sequence[str]) -> tuple[float, ...]:
    """Counts of one segment. sacrebleu's paired significance tests go through the same two private methods."""
    (counts,) = metric._extract_corpus_statistics([answer], [[reference] for reference in references])
    return tuple(map(float, counts))


def _bleu_value(statistics: np.ndarray) -> float:
    return _corpus_score(_bleu("13a"), statistics)  # the tokenizer plays no part once n-grams are counted


def _chrf_value(statistics: np.ndarray) -> float:
    return _corpus_score(_chrf(), statistics)


def _ter_value(statistics: np.ndarray) -> float:
    return _corpus_score(_ter(asian=False), statistics)


def _corpus_score(metric: Any, statistics: np.ndarray) -> float:
    # Counts are whole; the mean length of several references, of which TER takes the sum, need not be.
    totals = [int(total) if total.is_integer() else total for total in statistics.sum(axis=0).tolist()]
    return float(metric._compute_score_from_stats(totals).score)


@cache
def _bleu(tokenizer: str) -> Any:
    from sacrebleu.metrics import BLEU

    # The effective order only matters where no answer of the corpus has four tokens. sacrebleu's default is 0 there,
    # even for a perfect answer.
    return BLEU(tokenize=tokenizer, smooth_method="exp", effective_order=True)


@cache
def _chrf() -> Any:
    from sacrebleu.metrics import CHRF

    return CHRF(char_order=6, word_order=0, beta=2)


@cache
def _ter(*, asian: bool) -> Any:
    from sacrebleu.metrics import TER

    # sacrebleu splits Chinese characters only where it normalises punctuation as well.
    return TER(normalized=asian, asian_support=asian)


@cache
def _characters() -> Any:
    from sacrebleu.tokenizers.tokenizer_char import TokenizerChar

    return TokenizerChar()


def _rouge(kind: str) -> TextRule:
    """F-measure of one ROUGE variant, 0 to 1; of several references the best counts (rouge-score's ``score_multi``)."""

    def score(answer: str, references: Sequence[str]) -> tuple[float, ...]:
        targets = [_one_sentence_a_line(reference) for reference in references]
        return (float(_rouge_scorer(kind).score_multi(targets, _one_sentence_a_line(answer))[kind].fmeasure),)

    return TextRule(kind, "level:mean|tok:rouge+script|case:lc|stem:no|score:f1|refs:max", score)


def _one_sentence_a_line(text: str) -> str:
    """rougeLsum takes a line for a sentence; Chinese and Japanese texts mark the end of one and write on."""
    return re.sub(r"(?<=[。！？])(?!\n)", "\n", text)


@cache
def _rouge_scorer(kind: str) -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer([kind], tokenizer=ScriptTokenizer())


def _is_exact(answer: str, references: Sequence[str]) -> tuple[float, ...]:
    return (float(_plain(answer) in map(_plain, references)),)


def _plain(text: str) -> str:
    """Composed and decomposed accents are one text to a reader; so is white space around it."""
    return unicodedata.normalize("NFC", text).strip()


BLEU = TextRule(
    "bleu",
    "level:corpus|tok:13a,zh,char-by-reference-script|case:mixed|smooth:exp|eff:yes|refs:all",
    _bleu_statistics,
    _bleu_value,
    best=100.0,
)
CHRF = TextRule(
    "chrf",
    "level:corpus|case:mixed|eff:yes|nc:6|nw:0|beta:2|space:no|refs:best",
    _chrf_statistics,
    _chrf_value,
    best=100.0,
)
TER = TextRule(
    "ter",
    "level:corpus|tok:tercom,asian,char-by-reference-script|case:lc|refs:best",
    _ter_statistics,
    _ter_value,
    best=0.0,
    chance=None,
)
ROUGE = tuple(_rouge(kind) for kind in ("rouge1", "rouge2", "rougeL", "rougeLsum"))
EXACT_MATCH = TextRule("exact_match", "level:mean|case:mixed|norm:nfc+strip|refs:any", _is_exact)
