"""Faults of the engine that an evaluation asks: batches, chance, caches, and the memory of another model's replies."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from transformers import GenerationConfig

from harness.engine.tokens import split_pair
from harness.metrics.answers import greedy_answers
from harness.metrics.choice import acc
from harness.metrics.sameness import same_answers, same_likelihoods
from harness.models.asked import Kept
from harness.models.base import LogLikelihood
from harness.models.local import LocalModel
from harness.models.weights import InMemory
from harness.records import Finding, Messages, Sample, SampleSet
from harness.store import Memory
from harness.zoo.engines import QUESTIONS, SAMPLES, OneByOne, demo_model, engine, tuned_demo
from harness.zoo.exhibit import Fault, Setup, Trap
from harness.zoo.traps_verdicts import alarms


class PaddedOnTheLeft(LocalModel):
    """Texts that are scored in one batch behind their padding, which the model is told of."""

    masked = True

    def loglikelihood(self, pairs: Sequence[tuple[Messages | str, str]]) -> list[LogLikelihood]:
        """Score all pairs in one batch."""
        rows = [split_pair(self.tokenizer, self.context(context), text, self.longest) for context, text in pairs]
        width = max(len(row.ids) for row in rows)
        ids = torch.tensor([[self.pad_id] * (width - len(row.ids)) + list(row.ids) for row in rows])
        seen = torch.tensor([[0] * (width - len(row.ids)) + [1] * len(row.ids) for row in rows])
        told = {"attention_mask": seen, "position_ids": (seen.cumsum(-1) - 1).clamp(min=0)} if self.masked else {}
        with torch.inference_mode():
            logs = self.module(input_ids=ids, **told).logits[:, :-1].log_softmax(-1)
        likely = logs.gather(-1, ids[:, 1:, None])[:, :, 0]
        return [
            LogLikelihood(float(each[-row.targets :].sum()), False, row.targets)
            for each, row in zip(likely, rows, strict=True)
        ]


class PaddingIsRead(PaddedOnTheLeft):
    """The same without a mask: the padding is text to the model."""

    masked = False


@dataclass
class ByGenerate(OneByOne):
    """Asks transformers' ``generate``, and says nothing of sampling: the checkpoint's generation config decides."""

    settings: dict[str, Any] = field(default_factory=dict)
    seeds: Iterator[int] = field(default_factory=itertools.count, init=False)

    def _answer(self, prompt: list[int], max_new_tokens: int) -> list[int]:
        given = torch.tensor([prompt])
        with torch.random.fork_rng():
            torch.manual_seed(next(self.seeds))
            whole = self.module.generate(
                given, attention_mask=torch.ones_like(given), max_new_tokens=max_new_tokens, **self.settings
            )
        answer: list[int] = whole[0, len(prompt) :].tolist()
        return answer


def _by_generate(**settings: Any) -> Setup:
    """A checkpoint whose generation config samples, as most chat models' do."""
    demo = tuned_demo()
    module = copy.deepcopy(demo.module)
    module.generation_config = GenerationConfig(
        do_sample=True, temperature=1.5, eos_token_id=sorted(demo.stop_ids), pad_token_id=demo.pad_id
    )
    return Setup(model=engine(ByGenerate, module, settings=settings), samples=SAMPLES)


def _with_positions(shift: int) -> Setup:
    """Every token that is read through the cache stands this many places too far ahead."""
    module = copy.deepcopy(tuned_demo().module)

    def read(_: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        cache = kwargs.get("past_key_values")
        if cache is not None and cache.get_seq_length():
            kwargs["position_ids"] = kwargs["position_ids"] + shift
        return args, kwargs

    module.register_forward_pre_hook(read, with_kwargs=True)
    return Setup(model=engine(module=module), samples=SAMPLES)


def _scored(kind: type[LocalModel]) -> Setup:
    return Setup(model=engine(kind), samples=SAMPLES)


CHOSEN = SampleSet(
    "chosen",
    tuple(
        Sample(text, text, ({"role": "user", "content": text},), digest=text, choices=("Paris", "blue"), target=0)
        for text in (*QUESTIONS, "What is snow?", "Who wrote Hamlet?", "Name a town.", "Where is it?", "Say a word.")
    ),
)


def _asked_after_its_base(by_weights: bool) -> Setup:
    """The tuned model after its base, one store of answers for both; its keys name the weights or leave them out."""

    def pair() -> tuple[LocalModel, LocalModel]:
        tuned, base, answers = replace(demo_model("tuned")), replace(demo_model("base")), Memory()
        for model in (tuned, base):
            model.kept = Kept(answers, by=model.digests["weights"] if by_weights else "")
        return tuned, base

    def answers() -> list[Finding]:
        tuned, base = pair()
        before, after = (greedy_answers(model, CHOSEN, max_new_tokens=16) for model in (base, tuned))
        return same_answers(after, before, same_weights=False)

    return Setup(more={ANSWERS: answers, LIKELIHOODS: lambda: same_likelihoods(*pair(), CHOSEN)})


def _hardly_tuned() -> Setup:
    """A tuned model a millionth away from its base: the same scores, but not the same bits."""

    def find() -> list[Finding]:
        base = demo_model("base")
        module = copy.deepcopy(base.module)
        with torch.no_grad():
            module.model.norm.weight *= 1 + 1e-6
        tuned = replace(base, weights=InMemory(module), digests={**base.digests, "weights": "tuned"})
        return same_likelihoods(tuned, base, CHOSEN) + alarms(acc(tuned, CHOSEN), acc(base, CHOSEN))

    return Setup(more={LIKELIHOODS: find})


ANSWERS = "quality/tuning_has_changed_the_answers"
LIKELIHOODS = "forgetting/tuning_has_changed_the_likelihoods"

FAULTS = (
    Fault(
        id="eval-12",
        name="Likelihoods depend on what else is in the batch",
        source="EleutherAI/lm-evaluation-harness#3055",
        inject=partial(_scored, PaddingIsRead),
        caught_by=("stopping/a_likelihood_does_not_depend_on_its_batch",),
        twin=partial(_scored, PaddedOnTheLeft),
    ),
    Fault(
        id="eval-16",
        name="Replies are remembered by the question, and the model before has given them",
        source="EleutherAI/lm-evaluation-harness#4063",
        inject=partial(_asked_after_its_base, False),
        caught_by=(ANSWERS, LIKELIHOODS),
        twin=partial(_asked_after_its_base, True),
    ),
    Fault(
        id="eval-17",
        name="The checkpoint's generation config samples where greedy answers are meant",
        source="huggingface/lighteval#559",
        inject=_by_generate,
        caught_by=("stopping/an_answer_is_the_same_when_asked_again",),
        twin=partial(_by_generate, do_sample=False),
    ),
    Fault(
        id="eval-18",
        name="Positions are off by one as soon as the cache is read",
        source="huggingface/transformers#30670",
        inject=partial(_with_positions, 1),
        caught_by=("stopping/an_answer_does_not_depend_on_the_cache",),
        twin=partial(_with_positions, 0),
    ),
)

TRAPS = (Trap("ok-71", "A tuned model that scores as its base does, almost to the last bit", _hardly_tuned),)
