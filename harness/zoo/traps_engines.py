"""The same model computed in another way: what differs is rounding, and neither answers nor verdicts may tell."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from peft import LoraConfig, get_peft_model

from harness.inspection.stand_in import quiet
from harness.metrics.choice import acc
from harness.metrics.quality import rougeL
from harness.metrics.stopping import stop_rate
from harness.metrics.text_loss import bits_per_byte
from harness.models.base import Completion
from harness.models.local import LocalModel
from harness.records import Finding, Sample, SampleSet
from harness.zoo.deliveries import adapted, base, delivered, merged, saved
from harness.zoo.engines import QUESTIONS, SAMPLES, InOneBatch, OneByOne, demo_model, engine, tuned_demo
from harness.zoo.exhibit import Setup, Trap
from harness.zoo.traps_verdicts import VERDICT, alarms

PROSE = SampleSet(
    "prose",
    tuple(
        Sample(text, text, ({"role": "user", "content": text},), digest=text)
        for text in ("The sea is wide and the town is quiet.", "What is the capital of France?", "He opened the gate.")
    ),
)


class WithoutCache(OneByOne):
    """Every token from a whole forward pass, one prompt at a time."""

    def _answer(self, prompt: list[int], max_new_tokens: int) -> list[int]:
        answer: list[int] = []
        while len(answer) < max_new_tokens and not (answer and answer[-1] in self.stop_ids):
            with torch.inference_mode():
                logits = self.module(input_ids=torch.tensor([prompt + answer]), use_cache=False).logits
            answer.append(int(logits[0, -1].argmax()))
        return answer


class WithoutPositions(InOneBatch):
    """Prompts padded on the left, without position ids: rotary positions are relative, so nothing changes."""

    def _rows(self, encoded: list[list[int]], max_new_tokens: int) -> list[list[int]]:
        width = max(map(len, encoded))
        rows = torch.tensor([[self.pad_id] * (width - len(ids)) + ids for ids in encoded])
        seen = torch.tensor([[0] * (width - len(ids)) + [1] * len(ids) for ids in encoded])
        positions = torch.arange(width)[None].expand(len(encoded), width)
        for _ in range(max_new_tokens):
            with torch.inference_mode():
                logits = self.module(input_ids=rows, attention_mask=seen, position_ids=positions).logits
            rows = torch.cat([rows, logits[:, -1:].argmax(-1)], dim=1)
            seen = torch.cat([seen, seen.new_ones(len(encoded), 1)], dim=1)
            positions = torch.cat([positions, positions[:, -1:] + 1], dim=1)
        answers: list[list[int]] = rows[:, width:].tolist()
        return answers


def _asked(build: Callable[[], LocalModel]) -> Setup:
    return Setup(model=build(), samples=SAMPLES)


def _judged(build: Callable[[], LocalModel], before: Callable[[], LocalModel] = engine) -> Setup:
    """The gate on what two engines measure: how plain text is predicted, and how often answers end."""

    def verdicts() -> list[Finding]:
        now, then = build(), before()
        return [
            *alarms(bits_per_byte(now, PROSE), bits_per_byte(then, PROSE)),
            *alarms(stop_rate(now, SAMPLES), stop_rate(then, SAMPLES), margin=0.05),
        ]

    return Setup(more={VERDICT: verdicts})


def _in_bfloat16() -> LocalModel:
    return engine(module=copy.deepcopy(tuned_demo().module).to(torch.bfloat16))


def _eager() -> LocalModel:
    module = copy.deepcopy(tuned_demo().module)
    module.set_attn_implementation("eager")
    return engine(module=module)


def _with_ties() -> LocalModel:
    """Every row of the head has a neighbour that leads or follows it by a millionth: ties wherever it answers."""
    module = copy.deepcopy(tuned_demo().module)
    module.lm_head.weight = torch.nn.Parameter(module.lm_head.weight.detach().clone())
    with torch.no_grad():
        module.lm_head.weight[301::2] = module.lm_head.weight[300:-1:2][: len(module.lm_head.weight[301::2])]
        module.lm_head.weight[301::2] *= 1 + 1e-6
    return engine(module=module)


def _adapted() -> Any:
    with quiet(), torch.random.fork_rng():
        torch.manual_seed(0)
        adapter = LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj", "v_proj"], init_lora_weights=False)
        return get_peft_model(copy.deepcopy(tuned_demo().module), adapter).eval()


def _merged() -> LocalModel:
    return engine(module=_adapted().merge_and_unload())


def _merges() -> Setup:
    on = base(dtype=torch.bfloat16)
    delivery = delivered(merged(adapted(on), on), same_as=saved(adapted(on), on))
    return replace(_judged(_merged, lambda: engine(module=_adapted())), delivery=delivery)


def _scored_by_hand() -> Setup:
    """Log-likelihoods of the engine against one plain forward pass, token by token."""

    def find() -> list[Finding]:
        model, context, text = engine(), "The capital of France is", " Paris."
        ids = [model.tokenizer.encode(part, add_special_tokens=False) for part in (context, context + text)]
        with torch.inference_mode():
            logs = model.module(input_ids=torch.tensor([ids[1]])).logits[0].log_softmax(-1)
        expected = sum(float(logs[at - 1, ids[1][at]]) for at in range(len(ids[0]), len(ids[1])))
        (given,) = model.loglikelihood([(context, text)])
        if abs(given.total - expected) < 1e-3:
            return []
        return [
            Finding("a likelihood is not that of a forward pass", repr(text), str(expected), str(given), "see above")
        ]

    return Setup(more={"engine/likelihood": find})


def _inside_a_word() -> Setup:
    """Choices that go on inside a word, so that their tokens change with what stands before them."""
    samples = SampleSet(
        "words",
        tuple(
            Sample(word, word, ({"role": "user", "content": word},), digest=word, choices=("s", "ing"), target=0)
            for word in ("Question", "Answer", "Garden", "Colour")
        ),
    )

    def find() -> list[Finding]:
        model = engine()
        likely = model.loglikelihood([(each.prompt, choice) for each in samples for choice in each.choices])
        unscored = [
            Finding("a choice has no token of its own", "words", "one at least", str(reply), "see above")
            for reply in likely
            if reply.tokens < 1
        ]
        return unscored + alarms(acc(model, samples), acc(engine(), samples))

    return Setup(more={VERDICT: find})


class Shorter(LocalModel):
    """The same answers in a word or two less."""

    def _completion(self, ids: list[int]) -> Completion:
        said = super()._completion(ids)
        words = said.text.split()
        return Completion(" ".join(words[: max(2, len(words) - 1)]), said.raw, said.ids, said.finish)


def _in_fewer_words() -> Setup:
    reference = ("Hello! How can I help you today, and what would you like to know?",)
    messages = [({"role": "user", "content": question},) for question in QUESTIONS]
    samples = SampleSet(
        "short",
        tuple(Sample(q, q, m, digest=q, references=reference) for q, m in zip(QUESTIONS, messages, strict=True)),
    )
    return Setup(more={VERDICT: lambda: alarms(rougeL(engine(Shorter), samples), rougeL(engine(), samples))})


def _base() -> LocalModel:
    return demo_model("base")


TRAPS = (
    Trap(
        "ok-23",
        "A base model does not end its answers, and its next version does not either",
        partial(_judged, _base, _base),
    ),
    Trap("ok-28", "Two tokens are as likely as each other all the time", partial(_asked, _with_ties)),
    Trap("ok-29", "Logits in a batch are not those of single prompts to the last bit", partial(_asked, engine)),
    Trap("ok-30", "Answers without a cache", partial(_judged, lambda: engine(WithoutCache))),
    Trap("ok-31", "Another attention kernel", partial(_judged, _eager)),
    Trap(
        "ok-32",
        "Prompts are padded on the left without position ids",
        partial(_asked, lambda: engine(WithoutPositions)),
    ),
    Trap("ok-33", "An adapter and its merge, also on a base that is stored in bfloat16", _merges),
    Trap("ok-44", "The last token of a text is scored and never read", _scored_by_hand),
    Trap("ok-53", "Shorter answers", _in_fewer_words),
    Trap("ok-57", "Near ties flip in bfloat16", partial(_asked, _in_bfloat16)),
    Trap("ok-58", "A choice goes on inside a word", _inside_a_word),
)
