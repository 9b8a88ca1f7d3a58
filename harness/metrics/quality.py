"""Generated answers against references: BLEU, chrF, ROUGE and exact match.

Each takes a model and samples with references, asks for greedy answers (``max_new_tokens`` overrides the limit that
follows from the references), and returns a measurement; all of them share one set of answers, which the engine keeps.
BLEU and chrF go from 0 to 100, ROUGE and exact match from 0 to 1; higher is better. A sample without references is a
``DataError``, an empty set a ``UsageError``.
"""

from __future__ import annotations

from harness.errors import DataError
from harness.metrics.answers import answer_problems, answer_signature, greedy_answers
from harness.metrics.measuring import measure, require_samples
from harness.metrics.text_scores import BLEU, CHRF, EXACT_MATCH, ROUGE, TextRule
from harness.models.base import Model
from harness.records import Measurement, SampleSet

_ROUGE1, _ROUGE2, _ROUGE_L, _ROUGE_LSUM = ROUGE


def bleu(model: Model, samples: SampleSet, *, max_new_tokens: int | None = None) -> Measurement:
    """Corpus BLEU, 0 to 100, as sacrebleu computes it; each sample tokenised by the script of its references."""
    return _against_references(BLEU, model, samples, max_new_tokens)


def chrf(model: Model, samples: SampleSet, *, max_new_tokens: int | None = None) -> Measurement:
    """Corpus chrF2, 0 to 100, as sacrebleu computes it."""
    return _against_references(CHRF, model, samples, max_new_tokens)


def rouge1(model: Model, samples: SampleSet, *, max_new_tokens: int | None = None) -> Measurement:
    """Mean F-measure of single words, 0 to 1."""
    return _against_references(_ROUGE1, model, samples, max_new_tokens)


def rouge2(model: Model, samples: SampleSet, *, max_new_tokens: int | None = None) -> Measurement:
    """Mean F-measure of word pairs, 0 to 1."""
    return _against_references(_ROUGE2, model, samples, max_new_tokens)


def rougeL(model: Model, samples: SampleSet, *, max_new_tokens: int | None = None) -> Measurement:  # noqa: N802
    """Mean F-measure of the longest common subsequence, 0 to 1."""
    return _against_references(_ROUGE_L, model, samples, max_new_tokens)


def rougeLsum(model: Model, samples: SampleSet, *, max_new_tokens: int | None = None) -> Measurement:  # noqa: N802
    """As ``rougeL``, sentence by sentence (a line, or up to a full-width full stop), 0 to 1."""
    return _against_references(_ROUGE_LSUM, model, samples, max_new_tokens)


def exact_match(model: Model, samples: SampleSet, *, max_new_tokens: int | None = None) -> Measurement:
    """Share of answers equal to one of their references after NFC and stripping, 0 to 1."""
    return _against_references(EXACT_MATCH, model, samples, max_new_tokens)


def _against_references(rule: TextRule, model: Model, samples: SampleSet, max_new_tokens: int | None) -> Measurement:
    require_samples(rule.name, samples)
    for sample in samples:
        if not sample.references:
            raise DataError(
                f"{samples.name}: sample {sample.id!r} has no references, which {rule.name} needs; "
                'add "references" or "target" to its line.'
            )
    answers = greedy_answers(model, samples, max_new_tokens=max_new_tokens)
    return measure(
        rule.name,
        samples,
        [rule.score(answers[sample.id].text, sample.references) for sample in samples],
        signature=f"{rule.settings}|{answer_signature(model, max_new_tokens)}",
        aggregate=rule.aggregate,
        chance=0.0,
        problems=answer_problems(model, samples, answers),
    )
