"""A tuned model that answers like its base: an adapter that was merged to nothing, or never switched on."""

from __future__ import annotations

from collections.abc import Mapping

from harness.models.base import Completion
from harness.records import Finding

LEAST_ANSWERS = 8
"""Fewer equal answers than this may be chance: a light tuning leaves easy questions as they were."""


def same_answers(
    tuned: Mapping[str, Completion], base: Mapping[str, Completion], *, same_weights: bool
) -> list[Finding]:
    """One finding where every answer is the base's, token for token, though the weights are said to differ."""
    equal = sum(completion.ids == base[name].ids for name, completion in tuned.items())
    if same_weights or equal < max(LEAST_ANSWERS, len(tuned)):
        return []
    return [
        Finding(
            what="The tuned model answers exactly as its base does.",
            where=f"all {equal} answers",
            expected="at least one other token somewhere: the files of the two models differ",
            found="the same tokens in every answer",
            remedy="see that the adapter's weights are not all zero, that it was merged into the right base, and that "
            "the checkpoint was saved after training",
        )
    ]
