"""How often something happened in so many simulated runs, with what that says about the true rate."""

from __future__ import annotations

from dataclasses import dataclass

SURE = 1e-3
"""The chance that a sound gate is called unsound by one of its simulations; they are seeded, so it is decided once."""


@dataclass(frozen=True)
class Rate:
    """``hits`` of ``runs`` independent runs."""

    hits: int
    runs: int

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.value:.1%} ({self.hits} of {self.runs}, 95 % interval {low:.1%} to {high:.1%})"

    @property
    def value(self) -> float:
        """The observed share."""
        return self.hits / self.runs

    @property
    def interval(self) -> tuple[float, float]:
        """The exact 95 % interval of Clopper and Pearson (Biometrika 26, 1934): it covers at any number of runs."""
        from scipy.stats import binomtest

        low, high = binomtest(self.hits, self.runs).proportion_ci(0.95, method="exact")
        return float(low), float(high)

    def clearly_above(self, rate: float) -> bool:
        """Whether so many hits are no chance where the true rate is ``rate`` at most."""
        from scipy.stats import binomtest

        return bool(binomtest(self.hits, self.runs, rate, alternative="greater").pvalue < SURE)

    def clearly_below(self, rate: float) -> bool:
        """Whether so few hits are no chance where the true rate is ``rate`` at least."""
        from scipy.stats import binomtest

        return bool(binomtest(self.hits, self.runs, rate, alternative="less").pvalue < SURE)
