"""The rows that are trained on, beside the samples that the result is judged by."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.dataset.row_text import RowText, row_text
from harness.records import Sample, SampleSet
from harness.samples import sample_digest


@dataclass(frozen=True)
class RowsAndSamples:
    """Source rows in the forms of ``harness.rows``, and every sample set of the run, bundled ones included.

    ``unsafe_words`` is the user's own list of words, in the form of the package's.
    """

    rows: tuple[Mapping[str, Any], ...]
    samples: tuple[SampleSet, ...] = ()
    unsafe_words: Path | None = None

    @cached_property
    def texts(self) -> tuple[RowText, ...]:
        """What every row says."""
        return tuple(row_text(row, number) for number, row in enumerate(self.rows))


def as_samples(rows: Iterable[Mapping[str, Any]], name: str) -> SampleSet:
    """Rows that a trainer evaluates on as samples: the last answer of each is what is asked for."""
    texts = [row_text(row, number) for number, row in enumerate(rows)]
    return SampleSet(name, tuple(as_sample(text) for text in texts if text.answers))


def as_sample(text: RowText) -> Sample:
    """A row as a sample: what is before its last answer is the prompt, a text without turns is prompt and answer."""
    prompt = text.prompt or text.last_answer
    return Sample(
        id=f"row {text.number}",
        prompt=prompt,
        messages=({"role": "user", "content": prompt},),
        digest=sample_digest({"prompt": prompt, "references": [text.last_answer]}),
        references=(text.last_answer,) if text.last_answer.strip() else (),
    )
