"""How answers are made: by greedy decoding, through a cache, in a batch. None of it may show in the numbers.

What is looked at are probabilities and answers, never the names of settings: an engine that samples gives another
answer when it is asked again, and a cache that forgets gives other probabilities than the whole text does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.chat.control import name_token
from harness.inspection.answers import TOKENS, leads_clearly, of_different_lengths
from harness.models.asked import afresh
from harness.models.base import Model
from harness.records import Finding, Messages, SampleSet

if TYPE_CHECKING:
    import torch

    from harness.models.local import LocalModel

APART = {"torch.float32": 1e-3, "torch.float16": 0.02, "torch.bfloat16": 0.1}
"""Nats a token by which a batch may move likelihoods in this type, on average over a text.

Measured on SmolLM2-135M: 3e-6, 1.5e-3 and 0.012."""


def answers_are_the_same_when_asked_again(model: Model, samples: SampleSet) -> list[Finding]:
    """Greedy answers have no chance in them: asked once more they are the same, near ties apart."""
    if getattr(model, "module", None) is None:
        return []
    prompts = of_different_lengths([sample.messages for sample in samples])
    computing = afresh(model)
    first = computing.generate(prompts, max_new_tokens=TOKENS)
    again = computing.generate(prompts[::-1], max_new_tokens=TOKENS)[::-1]
    findings = []
    for prompt, one, other in zip(prompts, first, again, strict=True):
        at = next((n for n, pair in enumerate(zip(one.ids, other.ids, strict=False)) if pair[0] != pair[1]), None)
        if at is not None and any(leads_clearly(model, prompt, one.ids[:at], each.ids[at]) for each in (one, other)):
            tokenizer = getattr(model, "tokenizer", None)
            findings.append(
                Finding(
                    "the same prompt is answered in two ways",
                    f"the prompt {str(prompt[-1]['content'])[:60]!r}, token {at} of its answer",
                    f"{name_token(tokenizer, one.ids[at])} again, as greedy decoding has it",
                    name_token(tokenizer, other.ids[at]),
                    "ask with do_sample=False and temperature 0: a checkpoint's generation_config.json or a server's "
                    "defaults may sample",
                )
            )
    return findings


def answers_do_not_depend_on_the_cache(model: Model, samples: SampleSet) -> list[Finding]:
    """Token by token through the cache, and whole texts without one, give the next tokens the same probabilities."""
    from harness.models.local import LocalModel

    if not isinstance(model, LocalModel):
        return []
    from harness.engine.precision import floor
    from harness.handover.probes import distance, logits_of

    prompts = [model.prompt_ids(each) for each in of_different_lengths([sample.messages for sample in samples])]
    answers, cached = _through_the_cache(model, prompts)
    whole = logits_of(model.module, [prompt + answer[:-1] for prompt, answer in zip(prompts, answers, strict=True)])
    apart = distance([logits[-len(ids) :] for logits, ids in zip(whole, answers, strict=True)], cached)
    allowed = floor(model.dtype)
    if apart.kl <= allowed:
        return []
    number, at = apart.where
    first, second = (name_token(model.tokenizer, token) for token in apart.likeliest)
    return [
        Finding(
            "the next token depends on the cache",
            f"prompt {number + 1} of {len(prompts)} ({len(prompts[number])} tokens), token {at} of its answer",
            f"{first} as the likeliest token there, and a mean divergence of at most {allowed:.0e} nats",
            f"{second}, {apart.kl:.2e} nats",
            "see that position_ids and cache_position go on where the prompt ends, and that the cache keeps as many "
            "tokens as the model attends to",
        )
    ]


def _through_the_cache(
    model: LocalModel, prompts: Sequence[Sequence[int]]
) -> tuple[list[list[int]], list[torch.Tensor]]:
    """Answers of ``TOKENS`` tokens each, and the logits that every token of them was chosen by."""
    import torch

    from harness.engine.decoding import answers, likeliest

    seen: list[list[Any]] = [[] for _ in prompts]

    def choose(logits: torch.Tensor, numbers: Sequence[int], places: Sequence[int]) -> list[int]:
        for number, its_logits in zip(numbers, logits.float().cpu(), strict=True):
            seen[number].append(its_logits)
        return likeliest(logits, numbers, places)

    found = dict(
        answers(
            model.module,
            prompts,
            ended=lambda _: False,
            pad_id=model.pad_id,
            max_new_tokens=TOKENS,
            budget=model.budget,
            sharing=model.weights.sharing,
            choose=choose,
        )
    )
    return [found[number] for number in range(len(prompts))], [torch.stack(each) for each in seen]


def likelihoods_do_not_depend_on_their_batch(model: Model, samples: SampleSet) -> list[Finding]:
    """A text is as likely alone as among texts of other lengths, up to the noise of the arithmetic."""
    dtype = str(getattr(getattr(model, "module", None), "dtype", ""))
    if dtype not in APART:
        return []
    prompts = of_different_lengths([sample.messages for sample in samples])
    pairs = [(prompt, _text(other)) for prompt, other in zip(prompts, [*prompts[1:], *prompts[:1]], strict=True)]
    computing = afresh(model)
    together = computing.loglikelihood(pairs)
    findings = []
    for (prompt, text), batched in zip(pairs, together, strict=True):
        (alone,) = computing.loglikelihood([(prompt, text)])
        apart = abs(batched.total - alone.total) / max(1, alone.tokens)
        if not apart <= APART[dtype]:
            findings.append(
                Finding(
                    "a likelihood depends on the other texts of its batch",
                    f"{text[:60]!r} after the prompt {_text(prompt)[:60]!r}",
                    f"{alone.total:.4f}, as when it is asked alone, within {APART[dtype]} nats a token",
                    f"{batched.total:.4f} in a batch of {len(pairs)}",
                    "leave the padding out of attention_mask and position_ids, and out of the sum",
                )
            )
    return findings


def _text(prompt: Messages) -> str:
    return str(prompt[-1]["content"])
