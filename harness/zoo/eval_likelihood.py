"""Faults of multiple choice: where the prompt ends, who gets a chat template, and what stands before an item."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from harness.benchmarks.asking import benchmark_samples
from harness.benchmarks.catalogue import BENCHMARKS
from harness.benchmarks.record import Benchmark, Draw
from harness.chat.template import render
from harness.errors import InvalidRunError
from harness.metrics.choice import acc
from harness.records import Finding, Sample, SampleSet
from harness.requests import digest_of
from harness.zoo.engines import tuned_demo
from harness.zoo.exhibit import Fault, Setup, Trap
from harness.zoo.traps_verdicts import VERDICT, alarms

CAPITALS = {"France": "Paris", "Spain": "Madrid", "Italy": "Rome", "Japan": "Tokyo", "Norway": "Oslo", "Egypt": "Cairo"}
SHOTS = "forgetting/general_ability_is_kept"


def _set(prompt: Callable[[str], str], choices: tuple[str, ...] = tuple(CAPITALS.values())) -> SampleSet:
    """A question for each capital, the prompt as it is given, the digest as a benchmark's."""
    samples = []
    for target, country in enumerate(CAPITALS):
        text = prompt(country)
        asked = Sample(country, text, ({"role": "user", "content": text},), "", choices=choices, target=target)
        samples.append(replace(asked, digest=digest_of(asked)))
    return SampleSet("capitals", tuple(samples))


def _ending(end: str) -> Setup:
    return Setup(model=tuned_demo(), samples=_set(lambda country: f"The capital of {country} is{end}"))


def _templated(one_side: bool) -> Setup:
    """One side renders the chat template itself and asks for the text; the other one asks for the question alone."""

    def find() -> list[Finding]:
        model = tuned_demo()

        def rendered(country: str) -> str:
            question = {"role": "user", "content": f"What is the capital of {country}?"}
            return render(model.tokenizer, [question], generation_prompt=True)

        plain = _set(lambda country: f"What is the capital of {country}?")
        return alarms(acc(model, _set(rendered) if one_side else plain), acc(model, plain))

    return Setup(more={VERDICT: find})


def _shots_from(split: str, draw: Draw) -> Setup:
    """ARC with three shots of these rows: the split that is evaluated too, or one of its own."""
    rows = {
        "test": [_row(country, city) for country, city in CAPITALS.items()],
        "train": [_row(f"the province of {country}", f"{city} too") for country, city in CAPITALS.items()],
    }
    benchmark = replace(BENCHMARKS["arc_easy"], shots=3, shots_split=split, draw=draw)
    return Setup(more={SHOTS: partial(_built, benchmark, rows)})


def _row(country: str, city: str) -> dict[str, object]:
    choices = {"text": [city, "the sea"], "label": ["A", "B"]}
    return {"question": f"What is the capital of {country}?", "choices": choices, "answerKey": "A"}


def _built(benchmark: Benchmark, rows: dict[str, list[dict[str, object]]]) -> list[Finding]:
    try:
        benchmark_samples(
            benchmark, lambda split: {"": [(f"{split} row {n}", row) for n, row in enumerate(rows[split])]}
        )
    except InvalidRunError as broken:
        return [Finding("the run is broken", benchmark.name, "items that no shot shows", str(broken), "see above")]
    return []


FAULTS = (
    Fault(
        id="eval-08",
        name="Prompts end with a space, and another one stands before every choice",
        source="EleutherAI/lm-evaluation-harness#2346",
        inject=partial(_ending, " "),
        caught_by=("forgetting/no_prompt_ends_in_a_space",),
        twin=partial(_ending, ""),
    ),
    Fault(
        id="eval-10",
        name="One of two models is asked through its chat template",
        source="EleutherAI/lm-evaluation-harness#1841",
        inject=partial(_templated, one_side=True),
        caught_by=(VERDICT,),
        twin=partial(_templated, one_side=False),
    ),
    Fault(
        id="eval-11",
        name="Shots are drawn from the evaluated split, the item among them",
        source="EleutherAI/lm-evaluation-harness#4145",
        inject=partial(_shots_from, "test", "random"),
        caught_by=(SHOTS,),
        twin=partial(_shots_from, "test", "random others"),
    ),
)


def _own_space() -> Setup:
    """COPA's choices begin with a space of their own in lm-eval, and BLiMP's sentences have nothing before them."""
    spaced = _set(lambda country: f"He went to {country}, therefore", tuple(f" {city}" for city in CAPITALS.values()))
    return Setup(model=tuned_demo(), samples=spaced)


def _nothing_before() -> Setup:
    return Setup(model=tuned_demo(), samples=_set(lambda _: ""))


def _in_a_line_of_its_own() -> Setup:
    return Setup(model=tuned_demo(), samples=_set(lambda country: f"法国的首都是巴黎。\n{country}的首都是：\n"))


TRAPS = (
    Trap("ok-81", "Choices begin with a space of their own", _own_space),
    Trap("ok-82", "Whole sentences are compared, with nothing before them", _nothing_before),
    Trap("ok-83", "A prompt ends with a line end, in a script without spaces", _in_a_line_of_its_own),
    Trap("ok-84", "Shots from a split of their own", partial(_shots_from, "train", "random")),
)
