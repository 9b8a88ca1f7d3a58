"""Many comparisons of one run: what keeps the chance of any false alarm at alpha."""

from __future__ import annotations

from collections.abc import Sequence


def adjusted(p: float, comparisons: int) -> float:
    """Bonferroni: the p that holds the false-alarm rate of the whole run, planned comparisons included.

    It needs no other p of the run, so a case can decide when it runs, perhaps in another process, and ``-x`` can stop
    at it. ``step_down`` is sharper once all are known.
    """
    return min(1.0, p * comparisons)


def step_down(p_values: Sequence[float], comparisons: int) -> list[float]:
    """Holm (Scandinavian Journal of Statistics 6, 1979): adjusted p in the order given, never above Bonferroni's.

    ``comparisons`` counts the whole family, so p-values that nobody saw (cases that did not run) count as 1. The
    smallest p is multiplied as by Bonferroni: what changes is what else is told once something has been found.
    """
    ranked = sorted(range(len(p_values)), key=p_values.__getitem__)
    reached, result = 0.0, [1.0] * len(p_values)
    for rank, place in enumerate(ranked):
        reached = max(reached, adjusted(p_values[place], comparisons - rank))
        result[place] = reached
    return result
