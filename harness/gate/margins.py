"""How far a metric may fall before it matters, where the user gives no margin."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from types import MappingProxyType

from harness.errors import UsageError

MARGINS: Mapping[str, float] = MappingProxyType(
    {
        # Two points: what leaderboards treat as a real difference, and about what a few hundred questions can show.
        "acc": 0.02,
        "acc_norm": 0.02,
        # One changed character loses the whole point, so this rate swings more than acc for the same ability.
        "exact_match": 0.05,
        # On sacrebleu's scale of 0 to 100: one or two points often say nothing to human raters (Mathur et al. 2020).
        "bleu": 2.0,
        "chrf": 2.0,
        # The same two points on the scale of 0 to 1 that rouge-score has.
        "rouge1": 0.02,
        "rouge2": 0.02,
        "rougeL": 0.02,
        "rougeLsum": 0.02,
        # One answer in twenty that does not stop is what a user notices.
        "stop_rate": 0.05,
        "loop_rate": 0.05,
        # Lower is better. At six bytes a word this is 8 % of perplexity a word: more than another dtype or batch makes.
        "bits_per_byte": 0.02,
    }
)


def margin_for(metric: str, overrides: Mapping[str, float] = MappingProxyType({})) -> float:
    """The allowed drop of ``metric``, in its own unit: the user's ``--margin`` first, then the default.

    Raises UsageError for a metric that neither knows; so ``margin_for(name)`` also checks a name given to ``--margin``.
    """
    if metric in overrides:
        return overrides[metric]
    if metric in MARGINS:
        return MARGINS[metric]
    nearest = difflib.get_close_matches(metric, MARGINS, n=1)
    hint = f"did you mean {nearest[0]}?" if nearest else f"known are {', '.join(MARGINS)}."
    raise UsageError(f"no margin is known for a metric {metric!r}: {hint}")
