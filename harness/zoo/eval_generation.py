"""Faults that cut written answers before their result, and weak models whose answers only look as if they were cut."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from harness.benchmarks.generated import STOP
from harness.metrics.generated import flexible_extract, strict_match
from harness.models.base import Completion
from harness.models.local import LocalModel
from harness.models.stop_strings import StopStrings
from harness.records import Finding, Messages, Sample, SampleSet
from harness.zoo.engines import engine
from harness.zoo.exhibit import Fault, Setup, Trap

EGGS = tuple((hens, 2 + hens % 5) for hens in range(3, 15))


@dataclass
class Scripted(LocalModel):
    """The demo's engine, whose answers are written down: a text by its prompt, and the terminator if it ``ends``."""

    script: Mapping[str, str] = field(default_factory=dict)
    ends: bool = True

    def _generate(
        self, prompts: Sequence[Messages | str], max_new_tokens: int, stop: StopStrings
    ) -> Iterable[tuple[int, Completion]]:
        return enumerate(self._completion(self._written(str(prompt), max_new_tokens, stop)) for prompt in prompts)

    def _written(self, prompt: str, max_new_tokens: int, stop: StopStrings) -> list[int]:
        ids: list[int] = self.tokenizer.encode(self.script[prompt], add_special_tokens=False)
        ids = (ids + sorted(self.stop_ids)[:1] * self.ends)[:max_new_tokens]
        end = next((place for place in range(1, len(ids)) if stop.end(ids[:place])), len(ids))
        return ids[:end]


def _sample(number: int, hens: int, eggs: int) -> Sample:
    prompt = f"Question: Each of {hens} hens lays {eggs} eggs. How many eggs are there?\nAnswer:"
    messages = ({"role": "user", "content": prompt},)
    return Sample(f"{number:04}", prompt, messages, digest=prompt, references=(f"#### {hens * eggs}",))


SAMPLES = SampleSet("eggs", tuple(_sample(number, *pair) for number, pair in enumerate(EGGS)))


def saying(answer: str, *, ends: bool = True) -> LocalModel:
    """A model with this answer to every question; it names ``hens``, ``eggs`` and their product ``n``."""
    script = {
        sample.prompt: answer.format(hens=hens, eggs=eggs, n=hens * eggs)
        for sample, (hens, eggs) in zip(SAMPLES, EGGS, strict=True)
    }
    return engine(Scripted, script=script, ends=ends)


def _measured(model: LocalModel, stop: Sequence[str] = STOP, limit: int = 96) -> Setup:
    def find() -> list[Finding]:
        return [
            Finding("answers cannot be judged", "eggs", "a run that can be judged", problem, "see above")
            for metric in (strict_match, flexible_extract)
            for problem in metric(model, SAMPLES, stop=stop, max_new_tokens=limit).problems
        ]

    return Setup(more={JUDGED: find})


JUDGED = "forgetting/general_ability_is_kept"

WORKED = " The Question is about eggs: {hens} hens with {eggs} each lay {hens} * {eggs} = {n} eggs.\n#### {n}"
AND_ON = "\n\nQuestion: What is 3 + 4?\nAnswer: 3 + 4 = 7.\n#### 7\n\nQuestion: And 4 + 4?\nAnswer:"
RAMBLING = (
    " Hens are seen in the garden, and the old man said that the market by the sea was quiet, so he went home with "
    "his dog, and on the way he met the baker, who told him about the boat, the bridge, and the rain of the week "
    "before, when the children of the town had found a fox near the school; later the teacher wrote a letter"
)
UNSAID = " It is not said how many there are." + AND_ON

FAULTS = (
    Fault(
        id="eval-14",
        name="The limit of new tokens cuts worked answers before their result",
        source="EleutherAI/lm-evaluation-harness#2798",
        inject=lambda: _measured(saying(WORKED), limit=8),
        caught_by=(JUDGED,),
        twin=lambda: _measured(saying(WORKED), limit=96),
    ),
    Fault(
        id="eval-15",
        name="A stop string occurs in the reasoning",
        source="sgl-project/sglang#29264",
        inject=lambda: _measured(saying(WORKED), stop=("Question", "</s>")),
        caught_by=(JUDGED,),
        twin=lambda: _measured(saying(WORKED), stop=STOP),
    ),
)

TRAPS = (
    Trap(
        "ok-72",
        "A weak model rambles into the limit without a result, and would with more room",
        lambda: _measured(saying(RAMBLING, ends=False), limit=24),
    ),
    Trap(
        "ok-73",
        "A weak model gives no result and goes on to questions of its own",
        lambda: _measured(saying(UNSAID, ends=False)),
    ),
    Trap(
        "ok-74",
        "A base model goes on to other questions behind its result",
        lambda: _measured(saying(WORKED + AND_ON, ends=False)),
    ),
    Trap(
        "ok-75",
        "A model runs in a circle until the limit",
        lambda: _measured(saying(" eggs and hens, and" * 40, ends=False), limit=64),
    ),
)
