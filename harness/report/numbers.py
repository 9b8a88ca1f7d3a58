"""How numbers look, in one place: the same number reads the same in the terminal and in a pull request."""

from __future__ import annotations

NONE = "–"

_DECIMALS = {"bleu": 2, "chrf": 2, "perplexity": 2, "bits_per_byte": 4}  # all else is a rate from 0 to 1
_DECIMALS_OF_A_RATE = 3
_TOO_LONG = 1e6  # from here on digits before the point carry no meaning: an exploded perplexity
_NOISE = 1e-12  # what float64 sums differ by; shown as 0


def value(number: float | None, metric: str, sign: str = "-") -> str:
    """Return a value, or a difference of values (``sign="+"``), at the scale of its metric.

    A number that is not zero never reads as zero: it turns to one significant digit, ``4e-07``.
    """
    if number is None:
        return NONE
    if abs(number) < _NOISE:
        number = 0.0
    if abs(number) >= _TOO_LONG:
        return f"{number:{sign}.2e}"
    decimals = _DECIMALS.get(metric, _DECIMALS_OF_A_RATE)
    if 0 < abs(number) < 0.5 * 10**-decimals:
        return f"{number:{sign}.0e}"
    if number == 0:
        sign = "-"  # no "+0.000": there is no direction
    return f"{number:{sign}.{decimals}f}"


def drop(number: float | None, metric: str) -> str:
    """Return a drop with its sign: positive where the model got worse."""
    return value(number, metric, sign="+")


def interval(low: float | None, high: float | None, metric: str) -> str:
    """Return two bounds as ``0.021..0.061``."""
    if low is None or high is None:
        return NONE
    return f"{value(low, metric)}..{value(high, metric)}"


def plus_minus(stderr: float | None, metric: str) -> str:
    """Return a standard error as ``± 0.018``; empty where there is none."""
    return "" if stderr is None else f"± {value(stderr, metric)}"


def p_value(p: float | None) -> str:
    """Return a p value with three decimals, ``<0.001`` below that."""
    if p is None:
        return NONE
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def count(n: int) -> str:
    """Return a count with its thousands set apart; no samples are no number."""
    return f"{n:,}" if n else NONE


def memory(size: int) -> str:
    """Return bytes as ``812 MiB`` or ``1.46 GiB``."""
    return f"{size / 2**30:.2f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"


def of_things(n: int, one: str) -> str:
    """Return ``1 sample`` or ``2 samples``."""
    return f"{n:,} {one if n == 1 else one + 's'}"
