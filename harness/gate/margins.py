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
        # A result behind a worked answer is read by a pattern, and is right or wrong like a choice.
        "exact_match,strict-match": 0.02,
        "exact_match,flexible-extract": 0.02,
        # Most answers follow some instructions by luck, and 541 prompts show a drop of about this much.
        "prompt_level_strict_acc": 0.03,
        "prompt_level_loose_acc": 0.03,
        "inst_level_strict_acc": 0.02,
        "inst_level_loose_acc": 0.02,
        # On sacrebleu's scale of 0 to 100: one or two points often say nothing to human raters (Mathur et al. 2020).
        "bleu": 2.0,
        "chrf": 2.0,
        "ter": 2.0,
        # The same two points on the scale of 0 to 1 that rouge-score has.
        "rouge1": 0.02,
        "rouge2": 0.02,
        "rougeL": 0.02,
        "rougeLsum": 0.02,
        "token_f1": 0.02,
        # One answer in twenty that does not stop is what a user notices.
        "stop_rate": 0.05,
        "loop_rate": 0.05,
        # Greedy GPT-2 repeats 44 % of its runs of four words, people 1 % (Welleck et al. 2020).
        "rep_4": 0.05,
        # One prompt in twenty that is now answered and should not be, or the other way round.
        "refusal_rate": 0.05,
        "over_refusal_rate": 0.05,
        # The tuned model's answers against the base's: one pair in twenty changes sides, from 50 : 50 to 45 : 55.
        "win_rate": 0.1,
        # Two words in a hundred that now only repeat others. It falls where answers get longer, too.
        "distinct_1": 0.02,
        "distinct_2": 0.02,
        # A tenth longer or shorter is what a reader begins to see.
        "length_error": 0.1,
        # A choice that goes wrong in full confidence costs 2: the same two samples in a hundred as acc.
        "brier": 0.04,
        # Chance alone brings a perfectly calibrated model to 0.055 on 300 questions; a drop below that says little.
        "ece": 0.05,
        # Lower is better. At six bytes a word this is 8 % of perplexity a word: more than another dtype or batch makes.
        "bits_per_byte": 0.02,
    }
)

SHARES: Mapping[str, float] = MappingProxyType(
    {
        # Lower is better, and 4 for one model is 40 for another: five in a hundred is more than a dtype or batch makes.
        "perplexity": 0.05,
    }
)
"""The same for metrics without a scale of their own, as a share of what was measured."""


def margin_for(metric: str, value: float = 1.0) -> float:
    """The allowed drop of ``metric`` where it is ``value`` and the user says nothing.

    Raises UsageError for an unknown metric; so ``margin_for(name)`` also checks a name given to ``--margin``.
    """
    if metric in MARGINS:
        return MARGINS[metric]
    if metric in SHARES:
        return SHARES[metric] * value
    nearest = difflib.get_close_matches(metric, [*MARGINS, *SHARES], n=1)
    hint = f"did you mean {nearest[0]}?" if nearest else f"known are {', '.join([*MARGINS, *SHARES])}."
    own = "A metric of your own gets its margin from its case, gate(..., margin=0.02)."
    raise UsageError(f"no margin is known for a metric {metric!r}: {hint} {own}")


def stated_margin(margins: Mapping[str, float], measurement: str, suite: str) -> float | None:
    """What the user allows a measurement ``<set>/<metric>``, the narrowest name first; None where nothing is said.

    A name is that of the measurement, ``<suite>/<metric>``, or the metric alone: ``arc_easy/acc``, ``forgetting/acc``,
    ``acc``.
    """
    metric = measurement.rpartition("/")[2]
    named = (name for name in (measurement, f"{suite}/{metric}", metric) if name in margins)
    return next((margins[name] for name in named), None)
