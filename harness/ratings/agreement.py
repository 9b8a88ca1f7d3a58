"""How far two raters agree beyond chance: Cohen's kappa, a few lines that need no library of their own."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from harness.ratings.rubric import Choice


@dataclass(frozen=True)
class Agreement:
    """``kappa`` is 1 where two raters always agree and 0 where they agree as often as chance would have it.

    It is None where both gave one and the same choice throughout: chance alone agrees there, so nothing can be said.
    ``low`` and ``high`` bound it at 95 %.
    """

    n: int
    observed: float
    kappa: float | None
    low: float
    high: float


def cohens_kappa(first: Sequence[Choice], second: Sequence[Choice]) -> Agreement | None:
    """Agreement of two raters on the same pairs (Cohen 1960, with his large-sample error); None for no pair."""
    n = len(first)
    if not n:
        return None
    observed = sum(one is other for one, other in zip(first, second, strict=True)) / n
    counts, others = Counter(first), Counter(second)
    expected = sum(counts[choice] * others[choice] for choice in Choice) / n**2
    if expected == 1:
        return Agreement(n, observed, None, math.nan, math.nan)
    kappa = (observed - expected) / (1 - expected)
    error = math.sqrt(observed * (1 - observed) / n) / (1 - expected)
    reach = NormalDist().inv_cdf(0.975) * error
    return Agreement(n, observed, kappa, max(-1.0, kappa - reach), min(1.0, kappa + reach))
