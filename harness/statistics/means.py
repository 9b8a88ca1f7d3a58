"""A mean over samples, some of which may hang together in clusters."""

from __future__ import annotations

import math
from itertools import product

import numpy as np

from harness.statistics.groups import ROUNDING, Floats, Ints, coin_flips, draws_for, group_sums, monte_carlo_p, pooled

ENUMERATED_GROUPS = 14
"""Up to here all 2**g sign patterns are counted: 16,384 sums."""


def mean_stderr(scores: Floats, codes: Ints) -> float:
    """Cluster-robust standard error of the mean of ``scores`` (n,); nan for fewer than two groups.

    With one sample a group it is sd / sqrt(n) (Liang and Zeger 1986, with the g / (g - 1) correction).
    """
    groups = int(codes.max()) + 1
    if groups < 2:
        return math.nan
    residuals = np.bincount(codes, weights=scores - scores.mean())
    return math.sqrt(groups / (groups - 1) * float(residuals @ residuals)) / len(scores)


def mean_bounds(differences: Floats, codes: Ints, alpha: float) -> tuple[float, float] | None:
    """One-sided lower and upper bound at 1 - alpha of the mean difference (t, g - 1 degrees of freedom)."""
    from scipy.stats import t

    groups = int(codes.max()) + 1
    if groups < 2:
        return None
    mean = float(differences.mean())
    reach = float(t.isf(alpha, groups - 1)) * mean_stderr(differences, codes)
    return mean - reach, mean + reach


def sign_flip_p(differences: Floats, codes: Ints, alpha: float) -> float:
    """P of a sum of differences (n,) at least as large, were each group's sign a fair coin.

    Exact for few groups, seeded Monte-Carlo with as many draws as resolve ``alpha`` beyond.
    """
    sums = group_sums(differences[:, None], pooled(codes))[:, 0]
    observed = float(sums.sum()) - ROUNDING * float(np.abs(sums).sum())
    if len(sums) <= ENUMERATED_GROUPS:
        signs = np.array(list(product((-1, 1), repeat=len(sums))))
        return float((signs @ sums >= observed).mean())
    draws = coin_flips(draws_for(alpha), len(sums), held=len(sums))
    return monte_carlo_p((2 * heads - 1) @ sums >= observed for heads in draws)
