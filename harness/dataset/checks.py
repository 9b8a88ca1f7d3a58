"""Every check of training rows as text, by the name of the case that makes it in the suites."""

from __future__ import annotations

from collections.abc import Callable

from harness.dataset import leaks
from harness.dataset.rows_and_samples import RowsAndSamples
from harness.findings import Note
from harness.records import Finding

ROWS: dict[str, Callable[[RowsAndSamples, Note], list[Finding]]] = {
    "data/no_evaluation_sample_is_trained_on": leaks.no_evaluation_sample_is_trained_on,
}
"""Of the rows alone and beside the evaluation samples; no model is needed."""
