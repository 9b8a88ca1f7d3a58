"""How varied the answers are: distinct-1 and distinct-2 over all of them, and repetition within one.

    distinct_n   different n-grams of all answers together / all their n-grams (Li et al. 2016, arXiv:1510.03055)
    rep_4        1 - different 4-grams of an answer / its 4-grams, the mean over answers; seq-rep-4 of Welleck et al.
                 2020 (arXiv:1908.04319)

Both count words, or characters in scripts without spaces, and not the model's tokens, so that models of different
tokenizers can be compared. An answer of fewer than n words has no n-gram, and repeats none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache

import numpy as np

from harness.metrics.answers import answer_signature, greedy_answers, mostly_empty
from harness.metrics.measuring import measure, require_samples
from harness.metrics.script import ScriptTokenizer
from harness.metrics.text_scores import TextRule
from harness.models.base import Model
from harness.records import Measurement, SampleSet
from harness.samples import sample_digest


def distinct_1(model: Model, samples: SampleSet, *, max_new_tokens: int | None = None) -> Measurement:
    """Different words of all answers / all their words; 0 to 1, higher is better."""
    return _distinct(1, model, samples, max_new_tokens)


def distinct_2(model: Model, samples: SampleSet, *, max_new_tokens: int | None = None) -> Measurement:
    """Different pairs of words of all answers / all such pairs; 0 to 1, higher is better."""
    return _distinct(2, model, samples, max_new_tokens)


def distinct_shares(answers: Sequence[str], n: int) -> list[tuple[float, float]]:
    """(Its part of the different n-grams of all answers, its n-grams) for each answer.

    An answer's part is what would be missing without it, the n-grams that no other answer has; those that several
    have are shared equally among all answers, so that the parts add up. Exchanging two answers then moves the sum as
    it would move the number of different n-grams, which a paired test needs: with 1/k for an n-gram of k answers, twice
    as many runs that differ by nothing raise an alarm as should. The parts belong to this set of answers as a whole.
    """
    said = [_ngrams(answer, n) for answer in answers]
    sets = [set(ngrams) for ngrams in said]
    having = Counter(ngram for ngrams in sets for ngram in ngrams)
    alone = [sum(having[ngram] == 1 for ngram in ngrams) for ngrams in sets]
    shared = (len(having) - sum(alone)) / len(answers)
    return [(own + shared, float(len(ngrams))) for own, ngrams in zip(alone, said, strict=True)]


def distinct_of(answers: Sequence[str], n: int) -> float:
    """The value over these answers."""
    return _distinct_value(np.array(distinct_shares(answers, n)))


def _distinct_value(statistics: np.ndarray) -> float:
    """The share of different n-grams; 0 where there are none at all."""
    different, all_of_them = statistics.sum(axis=0)
    return float(different / all_of_them) if all_of_them else 0.0


def repetition(answer: str) -> float:
    """The share of an answer's 4-grams that it has had before."""
    ngrams = _ngrams(answer, 4)
    return 1 - len(set(ngrams)) / len(ngrams) if ngrams else 0.0


def _distinct(n: int, model: Model, samples: SampleSet, max_new_tokens: int | None) -> Measurement:
    metric = f"distinct_{n}"
    require_samples(metric, samples)
    answers = greedy_answers(model, samples, max_new_tokens=max_new_tokens)
    shares = distinct_shares([answers[sample.id].text for sample in samples], n)
    unsaid = not any(ngrams for _, ngrams in shares)
    # Fewer answers have fewer chances to repeat each other, so a subset cannot be compared with the whole set.
    over = sample_digest({"ids": sorted(sample.id for sample in samples)})
    return measure(
        metric,
        samples,
        shares,
        signature=f"level:corpus|{WORDS}|over:{over}|{answer_signature(model, max_new_tokens)}",
        aggregate=_distinct_value,
        problems=mostly_empty(samples, answers) + ((f"no answer has {n} words",) if unsaid else ()),
    )


def _ngrams(text: str, n: int) -> list[tuple[str, ...]]:
    words = _tokenizer().tokenize(text)
    return list(zip(*(words[start:] for start in range(n)), strict=False))


@cache
def _tokenizer() -> ScriptTokenizer:
    return ScriptTokenizer()


WORDS = "tok:rouge+script|case:lc"
REPETITION = TextRule(
    "rep_4",
    f"level:mean|{WORDS}",
    lambda answer, _: (repetition(answer),),
    best=0.0,
    needs_references=False,
    chance=None,
)
