"""The text metrics as ``evaluate.Metric`` modules that need no hub.

    Bleu().compute(predictions=["the cat sat"], references=[["the cat sat", "a cat sat"]])

``references`` holds one text or one list of texts per prediction, whichever way; the number may differ. The scoring
is that of ``harness.metrics.quality``. Each result carries its signature beside the numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import datasets
import evaluate

from harness.errors import DataError
from harness.metrics.text_scores import BLEU, CHRF, EXACT_MATCH, ROUGE, TextRule


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
        values: dict[str, float | str] = {
            rule.name: rule.value([rule.score(*pair) for pair in zip(predictions, references, strict=True)])
            for rule in self.rules
        }
        return values | {"signature": f"metric:{self.name}|{self.rules[0].settings}|version:1"}


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
