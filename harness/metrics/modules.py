"""The text metrics as ``evaluate.Metric`` modules that need no hub.

    Bleu().compute(predictions=["the cat sat"], references=[["the cat sat", "a cat sat"]])

``references`` holds one text or one list of texts per prediction, whichever way; the number may differ. ``Distinct``,
``Repetition`` and ``Refusals`` look at predictions alone. The scoring is that of ``harness.metrics.quality`` and its
neighbours. Each result carries its signature beside the numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import datasets
import evaluate

from harness.errors import DataError
from harness.metrics.diversity import REPETITION, WORDS, distinct_of
from harness.metrics.refusal import Reading, read
from harness.metrics.refusal_words import VERSION
from harness.metrics.text_scores import BLEU, CHRF, EXACT_MATCH, ROUGE, TER, TextRule
from harness.metrics.token_scores import LENGTH_ERROR, LENGTH_RATIO, TOKEN_F1


class _TextMetric(evaluate.Metric):  # type: ignore[misc]  # evaluate ships no types
    """One or several rules over predictions and their references."""

    rules: tuple[TextRule, ...]

    def _info(self) -> evaluate.MetricInfo:
        texts = datasets.Value("string")
        return evaluate.MetricInfo(
            description=self.__class__.__doc__ or "",
            citation="",
            inputs_description="predictions: texts; references: one text, or one list of texts, per prediction.",
            features=datasets.Features({"predictions": texts, "references": datasets.Sequence(texts)}),
        )

    def add(self, *, prediction: str, reference: str | Sequence[str], **kwargs: Any) -> None:
        """Add one prediction with its reference or references."""
        self.add_batch(predictions=[prediction], references=[reference], **kwargs)

    def add_batch(
        self, *, predictions: Sequence[str], references: Sequence[str | Sequence[str]], **kwargs: Any
    ) -> None:
        """Add predictions with the reference or the list of references of each."""
        references = _aligned(predictions, references)
        super().add_batch(predictions=list(predictions), references=references, **kwargs)

    def _compute(self, *, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float | str]:
        values: dict[str, float | str] = {rule.name: rule.of(predictions, references) for rule in self.rules}
        return values | {"signature": _signature(self.name, self.rules[0].settings)}


class Bleu(_TextMetric):
    """Corpus BLEU, 0 to 100; each prediction tokenised by the script of its references."""

    rules = (BLEU,)


class Chrf(_TextMetric):
    """Corpus chrF2, 0 to 100."""

    rules = (CHRF,)


class Rouge(_TextMetric):
    """Mean F-measures of ROUGE-1, -2, -L and -Lsum, 0 to 1, for any script."""

    rules = ROUGE


class ExactMatch(_TextMetric):
    """Share of predictions equal to a reference after NFC and stripping, 0 to 1."""

    rules = (EXACT_MATCH,)


class Ter(_TextMetric):
    """Corpus translation edit rate in edits per 100 words, 0 at best; by the script of the references."""

    rules = (TER,)


class TokenF1(_TextMetric):
    """Mean F1 over words as in SQuAD, 0 to 1."""

    rules = (TOKEN_F1,)


class LengthRatio(_TextMetric):
    """Words of all predictions / words of their nearest references, and how far that is from 1."""

    rules = (LENGTH_RATIO, LENGTH_ERROR)


class _AnswerMetric(evaluate.Metric):  # type: ignore[misc]  # evaluate ships no types
    """Numbers about predictions that need no reference."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=self.__class__.__doc__ or "",
            citation="",
            inputs_description="predictions: texts.",
            features=datasets.Features({"predictions": datasets.Value("string")}),
        )

    def add_batch(self, *, predictions: Sequence[str], **kwargs: Any) -> None:
        """Add predictions."""
        _aligned(predictions, [""] * len(predictions or ()))
        super().add_batch(predictions=list(predictions), **kwargs)


class Distinct(_AnswerMetric):
    """Different words, and pairs of words, of all predictions / all of them, 0 to 1 (distinct-1 and distinct-2)."""

    def _compute(self, *, predictions: Sequence[str]) -> dict[str, float | str]:
        values: dict[str, float | str] = {f"distinct_{n}": distinct_of(predictions, n) for n in (1, 2)}
        return values | {"signature": _signature(self.name, f"level:corpus|{WORDS}")}


class Repetition(_AnswerMetric):
    """Mean share of a prediction's runs of four words that it has had before, 0 to 1 (seq-rep-4)."""

    def _compute(self, *, predictions: Sequence[str]) -> dict[str, float | str]:
        value = REPETITION.of(predictions, [()] * len(predictions))
        return {REPETITION.name: value, "signature": _signature(self.name, REPETITION.settings)}


class Refusals(_AnswerMetric):
    """Share of predictions that decline, and of those that the rule cannot read, 0 to 1."""

    def _compute(self, *, predictions: Sequence[str]) -> dict[str, float | str]:
        readings = [read(prediction) for prediction in predictions]
        return {
            "refusal_rate": readings.count(Reading.REFUSED) / len(readings),
            "unreadable": readings.count(Reading.UNREADABLE) / len(readings),
            "signature": _signature(self.name, f"rule:refusal-{VERSION}"),
        }


def _signature(name: str, settings: str) -> str:
    return f"metric:{name}|{settings}|version:1"


def _aligned(predictions: Sequence[str] | None, references: Sequence[str | Sequence[str]] | None) -> list[list[str]]:
    """One list of references per prediction, or a clear refusal.

    Raises:
        DataError: no predictions, unequal numbers (most often references grouped by position), or no text.
    """
    if predictions is None or references is None or not len(predictions):
        raise DataError("there is nothing to score: pass predictions and references, one or more of each.")
    grouped = [[entry] if isinstance(entry, str) else list(entry) for entry in references]
    if len(grouped) != len(predictions):
        transposed = any(len(group) == len(predictions) for group in grouped)
        raise DataError(
            f"{len(predictions)} predictions have {len(grouped)} lists of references"
            + (" of as many texts as there are predictions: they are transposed" if transposed else "")
            + "; give one text or one list of texts per prediction."
        )
    for row, (prediction, group) in enumerate(zip(predictions, grouped, strict=True)):
        if not isinstance(prediction, str) or not group or not all(isinstance(text, str) for text in group):
            raise DataError(f"prediction {row} or its references are not texts: {prediction!r}, {group!r}.")
    return grouped
