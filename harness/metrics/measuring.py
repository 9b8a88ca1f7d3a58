"""From per-sample scores to a measurement: the value, its standard error, and whether the run is sound."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

from harness.errors import DataError, InvalidRunError, UsageError
from harness.records import Aggregate, Measurement, SampleScore, SampleSet
from harness.statistics import corpus_stderr, group_codes, mean_stderr, value_of

LOWER_IS_BETTER = frozenset(
    {
        "bits_per_byte",
        "brier",
        "ece",
        "length_error",
        "loop_rate",
        "over_refusal_rate",
        "perplexity",
        "rep_4",
        "ter",
    }
)
"""Every other metric of this package is better where it is higher."""


def measure(
    metric: str,
    samples: SampleSet,
    scores: Sequence[tuple[float, ...]],
    *,
    signature: str,
    aggregate: Aggregate | None = None,
    chance: float | None = None,
    problems: tuple[str, ...] = (),
) -> Measurement:
    """The measurement ``<sample set>/<metric>`` from one score (or one row of segment statistics) per sample.

    Without ``aggregate`` the value is the mean of the scores and the standard error that of a mean (n - 1 in the
    denominator, as in lm-eval, and robust to clusters where there are any); with it the standard error comes from a
    seeded bootstrap over the samples. The
    order of the samples changes nothing. A score that is not a number makes the measurement a broken run.
    """
    clusters = _clusters(samples)
    by_id = {
        sample.id: SampleScore(score, sample.digest, cluster)
        for sample, cluster, score in zip(samples, clusters, scores, strict=True)
    }
    table = np.array([by_id[sample_id].values for sample_id in sorted(by_id)], dtype=np.float64)
    broken = [sample_id for sample_id, score in by_id.items() if not all(map(math.isfinite, score.values))]
    if broken:
        problems += (f"{len(broken)} of {len(by_id)} scores are not finite numbers (first: {broken[0]})",)
        value = stderr = math.nan
    else:
        codes = group_codes([by_id[sample_id].cluster for sample_id in sorted(by_id)])
        value = value_of(table, aggregate)
        stderr = mean_stderr(table[:, 0], codes) if aggregate is None else corpus_stderr(aggregate, table, codes)
    return Measurement(
        name=f"{samples.name}/{metric}",
        metric=metric,
        value=value,
        stderr=stderr,
        n=len(by_id),
        signature="|".join(filter(None, (f"metric:{metric}", signature, samples.settings, "version:1"))),
        higher_is_better=metric not in LOWER_IS_BETTER,
        scores=by_id,
        aggregate=aggregate,
        chance=chance,
        limited=samples.limited,
        problems=problems,
    )


def _clusters(samples: SampleSet) -> list[str]:
    """The cluster of each sample: its own, or its digest where it is there twice: twins are one piece of evidence."""
    times = Counter(sample.digest for sample in samples)
    return [sample.cluster or (sample.digest if times[sample.digest] > 1 else "") for sample in samples]


def require_samples(metric: str, samples: SampleSet) -> None:
    """Refuse a sample set that no metric can be taken of.

    Raises:
        UsageError: the set is empty.
        DataError: two samples have one id, so that scores could not be joined by id.
    """
    if not len(samples):
        raise UsageError(f"{metric} cannot be measured on {samples.name!r}: it holds no samples; check its file.")
    sample_id, count = Counter(sample.id for sample in samples).most_common(1)[0]
    if count > 1:
        raise DataError(f"{samples.name}: {count} samples have the id {sample_id!r}; give each its own.")


def require_one_each(metric: str, asked: int, answered: int) -> None:
    """Refuse a model's reply that does not hold one entry for each request.

    Raises:
        InvalidRunError: entries are missing or too many, so nothing says which sample they belong to.
    """
    if asked != answered:
        raise InvalidRunError(
            f"{metric}: the model returned {answered} entries for {asked} requests; "
            "an engine owes one for each, in their order."
        )


def ratio(statistics: np.ndarray) -> float:
    """An aggregate: the sum of the first column over that of the second one."""
    numerator, denominator = statistics.sum(axis=0)
    return float(numerator / denominator)
