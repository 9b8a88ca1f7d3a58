"""Every method of tuning on the same rows: time, memory, parameters trained, and what came of it.

python benchmarks/methods.py recipes/demo-*.yaml --samples suites/data/quality.jsonl
python benchmarks/methods.py recipes/smollm2-*.yaml --samples recipes/data/tickets_test.jsonl \
    --output docs/benchmarks-methods.md
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from showing import facts, markdown_table, show_table, written_by
from starting import ROOT
from tuned import loaded, manifest_of, sample_sets, trained

from harness import acc, bits_per_byte, chrf, stop_rate
from harness.records import Measurement, SampleSet
from harness.training.data import without_bars
from harness.training.recipe import base_reference

COLUMNS = ("recipe", "trains", "of all", "minutes", "CPU minutes", "peak MiB", "tokens/s", "last loss")


@dataclass(frozen=True)
class Judged:
    """One line: a model, the manifest of its training (empty for the base), and its measurements by name."""

    name: str
    manifest: Mapping[str, Any]
    scores: Mapping[str, Measurement]


def main() -> None:
    """Train, measure, show, and write down."""
    asked = _arguments()
    bases = {base_reference(recipe) for recipe in asked.recipes}
    if len(bases) > 1:
        raise SystemExit(f"the recipes start from {len(bases)} models ({', '.join(sorted(bases))}); compare one's.")
    base = bases.pop()
    with tempfile.TemporaryDirectory() as scratch:
        folder = asked.keep or Path(scratch)
        models = [(recipe.stem, trained(recipe, folder / recipe.stem)) for recipe in asked.recipes]
        sets = sample_sets(asked.samples, asked.limit)
        with without_bars():
            lines = [Judged("base", {}, _scores(base, sets))]
            lines += [Judged(name, manifest_of(model), _scores(str(model), sets)) for name, model in models]
    known = facts(base, 1, ROOT)
    show_table((*COLUMNS, *lines[0].scores), map(_cells, lines))
    if asked.output:
        asked.output.write_text(_page(lines, known, sets), encoding="utf-8")


def _scores(ref: str, sets: Mapping[str, SampleSet]) -> dict[str, Measurement]:
    model = loaded(ref)
    return {
        "task chrF": chrf(model, sets["task"]),
        "task stops": stop_rate(model, sets["task"]),
        "knowledge acc": acc(model, sets["knowledge"]),
        "chat chrF": chrf(model, sets["chat"]),
        "prose bits/byte": bits_per_byte(model, sets["prose"]),
    }


def _cells(line: Judged) -> Iterator[str]:
    said = line.manifest
    yield line.name
    if said:
        yield f"{said['parameters_trained']:,}"
        yield f"{said['parameters_trained'] / said['parameters']:.2%}"
        yield f"{said['seconds'] / 60:.1f}"
        yield f"{said['cpu_seconds'] / 60:.1f}"
        yield f"{said['peak_rss_mib']:,}"
        yield f"{said['tokens_per_second']:.0f}"
        yield f"{said['losses'][-1]:.3f}"
    else:
        yield from [""] * (len(COLUMNS) - 1)
    yield from (f"{each.value:.3f} ± {each.stderr:.3f}" for each in line.scores.values())


def _page(lines: Sequence[Judged], known: Sequence[tuple[str, str]], sets: Mapping[str, SampleSet]) -> str:
    counts = ", ".join(f"{name}: {len(each)}" for name, each in sets.items())
    heads = (*COLUMNS, *lines[0].scores)
    return "\n".join(
        [
            "# Methods of tuning, side by side",
            "",
            *written_by(),
            "Each recipe was trained by `python -m harness train` in a process of its own, and the result was measured",
            "beside its base. Minutes are those of the training loop, by the clock and by the processor (all threads);",
            "the peak is the resident memory of the whole process.",
            f"A score stands with its standard error. Samples: {counts}. Less bits per byte are better, of all others",
            "more. One run each, one seed: differences of a few standard errors say nothing about the methods.",
            "",
            *markdown_table(heads, map(tuple, map(_cells, lines)), "--|" + "|".join(["--:"] * (len(heads) - 1))),
            "",
            *markdown_table(("", "where"), known, "--|--"),
            "",
        ]
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("recipes", nargs="+", type=Path, metavar="RECIPE", help="recipes that start from one model")
    add("--samples", type=Path, required=True, metavar="FILE", help="samples of the task that the recipes teach")
    add("--limit", type=int, metavar="N", help="measure a subset of N samples of each set")
    add("--keep", type=Path, metavar="DIR", help="train into this folder, and take what is there already")
    add("--output", type=Path, metavar="FILE.md", help="write the table there as Markdown")
    return parser.parse_args()


if __name__ == "__main__":
    main()
