"""docs/metrics.md names every metric with its margin and its best value as the code has them."""

from __future__ import annotations

import re
from pathlib import Path

from harness.gate.margins import MARGINS, SHARES
from harness.metrics import LOWER_IS_BETTER, METRICS

PAGE = (Path(__file__).parent.parent / "docs" / "metrics.md").read_text(encoding="utf-8")


def table() -> dict[str, tuple[bool, float]]:
    """Metric -> (whether its best value is the upper end of its range, its margin)."""
    found = {}
    for line in PAGE.splitlines():
        row = re.fullmatch(r"\| (`.+`) \| \d\.\.(\d*), (\d+) \| ([\d.]+)( %)? \| .+ \|", line)
        if row:
            names, highest, best, margin, percent = row.groups()
            for name in re.findall(r"`(\w+)`", names):
                found[name] = (highest == best, float(margin) / (100 if percent else 1))
    return found


def test_the_page_has_every_metric_as_it_is() -> None:
    assert table() == {name: (name not in LOWER_IS_BETTER, {**MARGINS, **SHARES}[name]) for name in METRICS}
