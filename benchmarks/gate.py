"""The gate's arithmetic on many samples: a third each of rates, means and BLEU, judged against a reference.

python benchmarks/gate.py --output docs/benchmarks-gate.md
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
from showing import facts, markdown_table, peak_mib, show_table, written_by
from starting import ROOT

from harness.gate import judge, judged_together
from harness.metrics.text_scores import BLEU
from harness.records import Aggregate, Measurement, Reference, SampleScore
from harness.statistics import Floats, value_of

Pair = tuple[Measurement, Measurement]
HEADS = ("kind", "measurements", "samples each", "processor seconds", "a verdict")


def main() -> None:
    """Make up the measurements, judge them all, show and write down."""
    asked = _arguments()
    imported = peak_mib()
    random = np.random.default_rng(0)
    ids = [f"{number:07}" for number in range(asked.samples)]
    kinds = {"rates (McNemar)": _rates, "means (sign flips)": _means, "BLEU (randomisation, bootstrap)": _bleu}
    each = asked.measurements // len(kinds)
    pairs = {name: [make(random, ids, number) for number in range(each)] for name, make in kinds.items()}
    rows, verdicts = [], []
    for name, made in pairs.items():
        took = []
        for before, after in made:
            began = time.process_time()
            verdict = judge(after, Reference("before", before), margin=0.02, alpha=0.05, comparisons=asked.measurements)
            took.append(time.process_time() - began)
            verdicts.append(verdict)
        rows.append((name, str(len(made)), f"{asked.samples:,}", f"{sum(took):.2f}", f"{median(took):.3f}"))
    began = time.process_time()
    judged_together(verdicts, alpha=0.05, comparisons=asked.measurements)
    total = sum(float(row[3]) for row in rows) + time.process_time() - began
    rows.append(("together", str(len(verdicts)), f"{asked.samples:,}", f"{total:.2f}", ""))
    show_table(HEADS, rows)
    if asked.output:
        asked.output.write_text(_page(rows, imported), encoding="utf-8")


def _rates(random: np.random.Generator, ids: list[str], number: int) -> Pair:
    right = random.random(len(ids)) < 0.6
    after = np.where(random.random(len(ids)) < 0.1, random.random(len(ids)) < 0.6, right)
    return _pair(ids, f"rates-{number}/acc", right[:, None], after[:, None])


def _means(random: np.random.Generator, ids: list[str], number: int) -> Pair:
    scores = random.random(len(ids))
    after = scores + random.normal(0, 0.1, len(ids))
    return _pair(ids, f"means-{number}/rouge1", scores[:, None], after[:, None])


def _bleu(random: np.random.Generator, ids: list[str], number: int) -> Pair:
    """Segments of 8 to 20 tokens with the counts that sacrebleu keeps: lengths, matches and n-grams of each order."""

    def counts() -> Floats:
        length = random.integers(8, 20, len(ids))
        orders = [length - order for order in range(4)]
        matches = [random.binomial(total, 0.6 / (order + 1)) for order, total in enumerate(orders)]
        columns: Floats = np.column_stack([length, length, *matches, *orders]).astype(float)
        return columns

    return _pair(ids, f"texts-{number}/bleu", counts(), counts(), BLEU.aggregate)


def _pair(ids: list[str], name: str, before: Floats, after: Floats, aggregate: Aggregate | None = None) -> Pair:
    measured: Callable[[Floats], Measurement] = partial(_measured, ids, name, aggregate)
    return measured(before), measured(after)


def _measured(ids: list[str], name: str, aggregate: Aggregate | None, rows: Floats) -> Measurement:
    rows = rows.astype(float)
    return Measurement(
        name=name,
        metric=name.rpartition("/")[2],
        value=value_of(rows, aggregate),
        stderr=0.01,
        n=len(ids),
        signature="made up",
        higher_is_better=True,
        scores={each: SampleScore(tuple(row), "d") for each, row in zip(ids, rows.tolist(), strict=True)},
        aggregate=aggregate,
    )


def _page(rows: list[tuple[str, ...]], imported: int) -> str:
    where = [(name, text) for name, text in facts("none: made-up scores", 1, ROOT) if name != "accelerator"]
    where.append(("peak memory of it that the imports took", f"{imported:,} MiB, torch and trl among them"))
    return "\n".join(
        [
            "# Speed of the gate",
            "",
            *written_by(),
            "Both sides of all measurements are held in memory at once, as in a run with a baseline.",
            "",
            *markdown_table(HEADS, rows, "--|--:|--:|--:|--:"),
            "",
            *markdown_table(("", "where"), where, "--|--"),
            "",
        ]
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--samples", type=int, default=100_000, metavar="N", help="samples of each measurement (default 100,000)")
    add("--measurements", type=int, default=30, metavar="N", help="a third of each kind (default 30)")
    add("--output", type=Path, metavar="FILE.md", help="write the table there as Markdown")
    return parser.parse_args()


if __name__ == "__main__":
    main()
