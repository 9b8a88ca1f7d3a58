"""Right or wrong, before and after: only the samples that flipped carry information."""

from __future__ import annotations

import math


def mcnemar_p(lost: int, won: int) -> float:
    """Exact one-sided McNemar: P(at least ``lost`` of the flipped pairs were lost), were each flip a fair coin."""
    from scipy.stats import binom

    return float(binom.sf(lost - 1, lost + won, 0.5))


def tango_bounds(lost: int, won: int, n: int, alpha: float) -> tuple[float, float]:
    """One-sided lower and upper bound at 1 - alpha of the drop (lost - won) / n.

    The score interval for paired proportions of Tango (Statistics in Medicine 17, 1998). Unlike the textbook (Wald)
    interval it does not shrink to nothing where no sample flipped: it then reaches z**2 / (n + z**2).
    """
    from scipy.optimize import brentq
    from scipy.stats import norm

    z = float(norm.isf(alpha))
    drop = (lost - won) / n

    def beyond(delta: float, direction: int) -> float:
        return direction * (lost - won - n * delta) + z * math.sqrt(_null_variance(lost, won, n, delta))

    # Start a hair off the drop: where nothing flipped the variance there is 0, which is a root but no bound.
    hair = 1e-12
    low = float(brentq(beyond, -1.0, drop - hair, args=(-1,))) if drop > -1 else -1.0
    high = float(brentq(beyond, drop + hair, 1.0, args=(1,))) if drop < 1 else 1.0
    return low, high


def _null_variance(lost: int, won: int, n: int, delta: float) -> float:
    """Variance of lost - won where the true drop is ``delta``: at the likelihood's maximum under that constraint."""
    b = (2 * n - lost + won) * delta - lost - won
    c = -won * delta * (1 - delta)
    rate_won = (math.sqrt(max(0.0, b * b - 8 * n * c)) - b) / (4 * n)
    return max(0.0, n * (2 * rate_won + delta * (1 - delta)))


def above_chance_p(right: int, n: int, chance: float) -> float:
    """One-sided binomial: P(at least ``right`` of n by guessing). With a chance of 0, one right answer is enough."""
    from scipy.stats import binom

    return float(binom.sf(right - 1, n, chance))
