"""Generated answers against references: BLEU, chrF, TER, ROUGE, token F1, exact match, length; and repetition in them.

Each takes a model and samples with references, asks for greedy answers (``max_new_tokens`` overrides the limit that
follows from the references), and returns a measurement; all of them share one set of answers, which the engine keeps.
BLEU, chrF and TER go from 0 to 100, the others from 0 to 1. A sample without references is a ``DataError``, an empty
set a ``UsageError``. ``scored`` does the same by any rule, one of your own included.
"""

from __future__ import annotations

from harness.errors import DataError
from harness.metrics.answers import answer_problems, answer_signature, greedy_answers, mostly_empty
from harness.metrics.diversity import REPETITION
from harness.metrics.measuring import measure, require_samples
from harness.metrics.text_scores import BLEU, CHRF, EXACT_MATCH, ROUGE, TER, TextRule
from harness.metrics.token_scores import LENGTH_ERROR, TOKEN_F1
from harness.models.base import Model
from harness.records import Measurement, SampleSet

_ROUGE1, _ROUGE2, _ROUGE_L, _ROUGE_LSUM = ROUGE


def bleu(model: Model, samples: SampleSet, *, max_new_tokens: int | None = None) -> Measurement:
    """Corpus BLEU, 0 to 100, as sacrebleu computes it; each sample tokenised by the script of its references."""
    return scored(BLEU, model, samples, max_new_tokens=max_new_tokens)


def chrf(model: Model, samples: SampleSet, *, max_new_tokens: int | None = None) -> Measurement:
    """Corpus chrF2, 0 to 100, as sacrebleu computes it."""
    return scored(CHRF, model, samples, max_new_tokens=max_new_tokens)


def rouge1(model: Model, samples: SampleSet, *, max_new_tokens: int | None = None) -> Measurement:
    """Mean F-measure of single words, 0 to 1."""
    return scored(_ROUGE1, model, samples, max_new_tokens=max_new_tokens)


def rouge2(model: Model, samples: SampleSet, *, max_new_tokens: int | None = None) -> Measurement:
    """Mean F-measure of word pairs, 0 to 1."""
    return scored(_ROUGE2, model, samples, max_new_tokens=max_new_tokens)


def rougeL(model: Model, samples: SampleSet, *, max_new_tokens: int | None = None) -> Measurement:  # noqa: N802
    """Mean F-measure of the longest common subsequence, 0 to 1."""
    return scored(_ROUGE_L, model, samples, max_new_tokens=max_new_tokens)


def rougeLsum(model: Model, samples: SampleSet, *, max_new_tokens: int | None = None) -> Measurement:  # noqa: N802
    """As ``rougeL``, sentence by sentence (a line, or up to a full-width full stop), 0 to 1."""
    return scored(_ROUGE_LSUM, model, samples, max_new_tokens=max_new_tokens)


def exact_match(model: Model, samples: SampleSet, *, max_new_tokens: int | None = None) -> Measurement:
    """Share of answers equal to one of their references after NFC and stripping, 0 to 1."""
    return scored(EXACT_MATCH, model, samples, max_new_tokens=max_new_tokens)


def ter(model: Model, samples: SampleSet, *, max_new_tokens: int | None = None) -> Measurement:
    """Corpus translation edit rate as sacrebleu computes it: edits per 100 words of the references; lower is better.

    Its search for moved phrases takes a second for an answer of a hundred words that have nothing in order.
    """
    return scored(TER, model, samples, max_new_tokens=max_new_tokens)


def token_f1(model: Model, samples: SampleSet, *, max_new_tokens: int | None = None) -> Measurement:
    """Mean F1 of the words that answer and reference share, as SQuAD has it, 0 to 1."""
    return scored(TOKEN_F1, model, samples, max_new_tokens=max_new_tokens)


def length_error(model: Model, samples: SampleSet, *, max_new_tokens: int | None = None) -> Measurement:
    """How far the answers' total length is from the references', 0 to 1: a half at both half and double the length.

    Lower is better. Its statistics hold the words of answer and reference; their ratio is ``length_ratio``.
    """
    return scored(LENGTH_ERROR, model, samples, max_new_tokens=max_new_tokens)


def rep_4(model: Model, samples: SampleSet, *, max_new_tokens: int | None = None) -> Measurement:
    """Mean share of an answer's runs of four words that it has had before, 0 to 1; lower is better. No references."""
    return scored(REPETITION, model, samples, max_new_tokens=max_new_tokens)


def scored(rule: TextRule, model: Model, samples: SampleSet, *, max_new_tokens: int | None = None) -> Measurement:
    """Greedy answers scored by a rule.

    Raises:
        DataError: a sample has no references, and the rule needs them.
    """
    require_samples(rule.name, samples)
    for sample in samples:
        if rule.needs_references and not sample.references:
            raise DataError(
                f"{samples.name}: sample {sample.id!r} has no references, which {rule.name} needs; "
                'add "references" or "target" to its line.'
            )
    answers = greedy_answers(model, samples, max_new_tokens=max_new_tokens)
    problems = answer_problems(model, samples, answers) if rule.needs_references else mostly_empty(samples, answers)
    return measure(
        rule.name,
        samples,
        [rule.score(answers[sample.id].text, sample.references) for sample in samples],
        signature=f"{rule.settings}|{answer_signature(model, max_new_tokens)}",
        aggregate=rule.aggregate,
        chance=rule.chance,
        problems=problems,
    )
