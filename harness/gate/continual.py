"""What a continual training has kept of its earlier stages, in the two numbers that the field reports.

Backward transfer (Lopez-Paz and Ranzato 2017, "Gradient episodic memory", section 2): the mean, over all stages but the
last, of the last model's score on a stage's task less the score of the model that had just learned it. Forgetting of a
task (Chaudhry et al. 2018, "Riemannian walk", eq. 3): its best score under any earlier model, less that of the last.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.records import Measurement, StageScores


def stage_scores(start: str, stages: Sequence[str], measured: Sequence[Sequence[Measurement]]) -> StageScores:
    """The matrix of scores of the model that was started from (the first row) and of each stage's result on each task.

    ``measured`` has a row for ``start`` and one for each stage, and in each a column for each stage's task.
    """
    values = tuple(tuple(each.value for each in row) for row in measured)
    ways = [1.0 if each.higher_is_better else -1.0 for each in measured[0]]
    earlier = range(len(stages) - 1)
    changes = [ways[task] * (values[-1][task] - values[task + 1][task]) for task in earlier]
    best = [max(ways[task] * row[task] for row in values[1:-1]) for task in earlier]
    one_metric = len({each.metric for each in measured[0]}) == 1
    return StageScores(
        models=(start, *stages),
        tasks=tuple(f"{stage}/{each.metric}" for stage, each in zip(stages, measured[0], strict=True)),
        metrics=tuple(each.metric for each in measured[0]),
        values=values,
        # Points of different metrics have no mean.
        backward_transfer=sum(changes) / len(changes) if one_metric else None,
        forgetting=tuple(best[task] - ways[task] * values[-1][task] for task in earlier),
    )
