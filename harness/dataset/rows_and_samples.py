"""The rows that are trained on, beside the samples that the result is judged by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.records import SampleSet


@dataclass(frozen=True)
class RowsAndSamples:
    """Source rows in the forms of ``harness.rows``, and every sample set of the run, bundled ones included."""

    rows: tuple[Mapping[str, Any], ...]
    samples: tuple[SampleSet, ...] = ()
