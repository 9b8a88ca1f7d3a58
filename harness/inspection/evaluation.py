"""The rows of evaluation: their loss means the same as that of training only if the same tokens count."""

from __future__ import annotations

from harness.inspection.batches import IGNORED
from harness.inspection.mask import turns_are_supervised
from harness.inspection.matching import Inspection
from harness.records import Finding


def evaluation_rows_are_supervised_alike(seen: Inspection) -> list[Finding]:
    """What is masked in training is masked in evaluation."""
    evaluation = seen.evaluation
    if evaluation is None or not evaluation.matches:
        return []
    if seen.policy == "undeclared" and _masks(seen) != _masks(evaluation):
        first = evaluation.matches[0].segment
        return [
            Finding(
                "evaluation rows are not masked as training rows are, so the two losses cannot be compared",
                f"eval_dataset, prepared row {first.row}",
                "prompts masked, as in the training rows" if _masks(seen) else "every token learned, as in training",
                f"{sum(label != IGNORED for label in first.labels)} of {len(first.labels)} tokens count",
                "prepare eval_dataset with the function that prepares train_dataset",
            )
        ]
    return [
        Finding(f"in eval_dataset, {found.what}", f"eval_dataset, {found.where}", *_rest(found))
        for found in turns_are_supervised(evaluation)
    ]


def _masks(seen: Inspection) -> bool:
    """Whether any token beyond the first of a row is ignored."""
    return any(IGNORED in match.segment.labels[1:] for match in seen.matches)


def _rest(found: Finding) -> tuple[str, str, str]:
    return found.expected, found.found, f"prepare eval_dataset as train_dataset is prepared; {found.remedy}"
