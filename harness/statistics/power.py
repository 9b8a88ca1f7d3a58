"""The smallest drop that a comparison could have shown, at a power of 80 %.

A drop shows where the test rejects *and* the observed drop reaches ``least``: what is significant and does not matter
is no regression, so a drop that is hardly larger than ``least`` is seen every second time only, at any n.
"""

from __future__ import annotations

import math
from functools import lru_cache

POWER = 0.8

EXACT_PAIRS = 1_000
"""Discordant pairs up to which the power is summed exactly; beyond, the normal approximation is off by about 1 %."""


def fewest_pairs(alpha: float) -> int:
    """Discordant pairs that McNemar's test needs, all in one direction, for p <= alpha."""
    return math.ceil(math.log2(1 / alpha))


@lru_cache(maxsize=4096)  # measurements over one sample set ask for the same numbers again
def detectable_pairs(n: int, discordant: int, alpha: float, least: float = 0.0) -> float | None:
    """Smallest drop among n pairs that McNemar's test at ``alpha`` finds with a power of 80 %; None if none.

    Assumes that pairs flip as they did here, and that the drop comes on top: a worse model still has its usual churn.
    """
    from scipy.optimize import brentq

    smallest = max(fewest_pairs(alpha) / n, least)
    if smallest > 1:
        return None
    rate = discordant / n
    if discordant > EXACT_PAIRS:
        rate = min(1.0, rate + _normal_drop(n, rate, alpha))
        return max(smallest, _normal_drop(n, rate, alpha), _material_drop(n, rate, least))

    def shortfall(drop: float) -> float:
        return _mcnemar_power(n, rate, drop, alpha, least) - POWER

    enough = smallest
    while shortfall(enough) < 0:
        if enough == 1:
            return None
        enough = min(1.0, 2 * enough)
    if enough == smallest:
        return smallest
    return float(brentq(shortfall, enough / 2 if enough < 1 else smallest, enough, xtol=1e-7))


def _mcnemar_power(n: int, rate: float, drop: float, alpha: float, least: float) -> float:
    """Exact power: over the binomial number of discordant pairs, P(enough of them were lost)."""
    import numpy as np
    from scipy.stats import binom

    rate = min(1.0, rate + drop)
    pairs = np.arange(binom.ppf(1e-9, n, rate), binom.isf(1e-9, n, rate) + 1)
    significant = binom.isf(alpha, pairs, 0.5)  # the test rejects above this number of lost pairs
    matters = np.ceil((pairs + n * least) / 2 - 1e-9) - 1  # lost - won reaches n * least above this one
    critical = np.maximum(significant, matters)
    return float(binom.pmf(pairs, n, rate) @ binom.sf(critical, pairs, min(1.0, (rate + drop) / (2 * rate))))


def _normal_drop(n: int, rate: float, alpha: float) -> float:
    """Solves drop * sqrt(n) = z_alpha * sqrt(rate) + z_power * sqrt(rate - drop**2) (Connor, Biometrics 43, 1987)."""
    from scipy.stats import norm

    za, zp = float(norm.isf(alpha)), float(norm.ppf(POWER))
    root = za * za * n * rate - (n + zp * zp) * (za * za - zp * zp) * rate
    return (za * math.sqrt(n * rate) + math.sqrt(root)) / (n + zp * zp)


def _material_drop(n: int, rate: float, least: float) -> float:
    """The drop that is observed as ``least`` or more with the power asked for, by the normal approximation."""
    from scipy.stats import norm

    return least + float(norm.ppf(POWER)) * math.sqrt(rate / n)


def detectable_difference(stderr: float, groups: int, alpha: float, least: float = 0.0) -> float | None:
    """Smallest difference that shows with a power of 80 % in a test that flips the signs of ``groups`` groups.

    Solves drop = z_alpha * sqrt(stderr**2 + drop**2 / groups) + z_power * stderr: what the test draws by flipping signs
    spreads by the drop as well, as in Connor's formula for pairs, which matters where groups are few.

    None where nothing can be said: no spread was observed, or so few groups that even their best draw is no evidence.
    """
    from scipy.stats import norm

    za, zp = float(norm.isf(alpha)), float(norm.ppf(POWER))
    left = 1 - za * za / groups
    if not stderr > 0 or groups < fewest_pairs(alpha) or left <= 0:
        return None
    by_test = (zp + math.sqrt(zp * zp - left * (zp * zp - za * za))) / left
    return float(max(by_test * stderr, least + zp * stderr))
