"""The matrix of a continual training in words and cells, the same for every readable format."""

from __future__ import annotations

from collections.abc import Iterator

from harness.records import StageScores
from harness.report import numbers
from harness.report.text import one_line

TITLE = "stages"
REMARK = "each model on each task; * just learned"


def heads(scores: StageScores) -> tuple[str, ...]:
    """Return the table's headings: the model, then the tasks."""
    return ("model", *(one_line(task) for task in scores.tasks))


def rows(scores: StageScores) -> Iterator[tuple[str, ...]]:
    """Yield a row of cells for each model, and one with what was forgotten of each task."""
    for number, (model, values) in enumerate(zip(scores.models, scores.values, strict=True)):
        cells = (numbers.value(each, metric) for each, metric in zip(values, scores.metrics, strict=True))
        yield (one_line(model), *(f"{cell} *" if task == number - 1 else cell for task, cell in enumerate(cells)))
    lost = (numbers.drop(each, metric) for each, metric in zip(scores.forgetting, scores.metrics, strict=False))
    yield ("forgotten", *lost, numbers.NONE)


def backward_transfer(scores: StageScores) -> str:
    """Return the sentence below the table."""
    if scores.backward_transfer is None:
        return "backward transfer: none, since the tasks have different metrics"
    change = numbers.value(scores.backward_transfer, scores.metrics[0], sign="+")
    return f"backward transfer {change}: the mean change of earlier tasks by later stages, below 0 where they lost"
