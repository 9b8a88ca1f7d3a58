"""How time and memory grow with the number of items, every number in a process of its own."""

from __future__ import annotations

import statistics

import items
from own_process import in_own_process
from showing import Results, spread
from timing import stopwatch
from tuned import loaded

from harness.metrics import acc, acc_norm

MODEL = "demo:tuned"
COUNTS = (100, 300, 1000, 3000)


def growth(repeats: int) -> Results:
    """Score more and more questions; what each of them takes stays the same, and so does the memory."""
    runs = {count: [in_own_process(_scored, count) for _ in range(repeats)] for count in COUNTS}
    rows = []
    for count, measured in runs.items():
        times = [taken for taken, _ in measured]
        rows.append(
            (
                f"{count:,}",
                *spread(times),
                f"{statistics.median(times) / count * 1000:.2f}",
                f"{max(peak for _, peak in measured):,}",
            )
        )
    head = ("questions", "median s", "min", "max", "ms a question", "peak MiB")
    did = f"acc and acc_norm of zero-shot questions by {MODEL}, its loading not timed; the peak is the whole process's"
    return Results(head, rows, [("growth", did)], names=1)


def _scored(count: int) -> float:
    model, questions = loaded(MODEL), items.zero_shot(count)
    acc(model, items.zero_shot(8))  # reads the weights, and finds out what its attention takes
    return stopwatch(lambda: (acc(model, questions), acc_norm(model, questions)))().seconds
