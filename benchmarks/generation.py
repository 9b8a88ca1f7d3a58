"""Greedy answers: the harness's, beside lm-eval's and two ways of transformers, on the same prompts and module."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import lm_eval_side
import torch
from timing import Part, Ways, in_turns, peaks, quickest_of, seconds, weighed
from transformers import ContinuousBatchingConfig, GenerationConfig

from harness import exact_match
from harness.models.local import LocalModel
from harness.records import SampleSet

PLAIN_PROMPTS = (8, 16, 32, 64)
"""Prompts a call tried for the best that plain batches reach."""
CONTINUOUS_TOKENS = (64, 512)
"""Tokens a batch tried for the best of continuous batching."""
TRIED_TOKENS = 16
"""New tokens of a trial: all prompts are in it, so that full batches are compared, but short answers will do."""

PAGE = 64
"""Tokens of a block of its cache."""

Ids = tuple[int, ...]


@dataclass(frozen=True)
class Answers:
    """The texts of the answers, their ids where the way tells them, and its own exact_match where it has one."""

    texts: list[str]
    ids: list[Ids] = field(default_factory=list)
    matches: float | None = None


def generation(
    model: LocalModel, prompts: SampleSet, repeats: int, new_tokens: int, *, continuous: bool = False
) -> Part:
    """Time the prompts from their messages to the answers; what each prompt is answered alone is what is expected.

    ``continuous`` batching is a way of its own, beside the harness alone: it takes several times as long as all others.
    """
    alone = _plain(model, prompts, new_tokens, 1)
    expecting = [replace(each, references=(text,)) for each, text in zip(prompts, alone.texts, strict=True)]
    asked = replace(prompts, samples=tuple(expecting))
    runs = in_turns(
        {
            "harness": weighed(partial(_ours, model, asked, new_tokens)),
            **(_continuous_ways(model, prompts, new_tokens) if continuous else {}),
            **({} if continuous else _lm_eval_ways(model, asked, new_tokens)),
            **({} if continuous else _plain_ways(model, prompts, new_tokens)),
        },
        repeats,
    )
    lengths = [len(model.prompt_ids(prompt.messages)) for prompt in prompts]
    return Part(
        "continuous batching" if continuous else "generation",
        seconds(runs),
        f"{len(prompts)} prompts of {min(lengths)} to {max(lengths)} tokens, at most {new_tokens} new ones each; "
        + _agreement({name: timed[-1].answer for name, timed in runs.items()}, alone),
        tokens=sum(map(len, alone.ids)),
        peaks=peaks(runs),
    )


def _agreement(answers: Mapping[str, Answers], alone: Answers) -> str:
    """How many answers are those that a prompt gets alone: by their texts, and by ids where a way tells them."""
    n = len(alone.texts)
    same = {
        way: sum(
            text == text_alone and (not found.ids or ids == ids_alone)
            for text, text_alone, ids, ids_alone in zip(
                found.texts, alone.texts, found.ids or alone.ids, alone.ids, strict=True
            )
        )
        for way, found in answers.items()
    }
    other = ", ".join(f"{count} by {way}" for way, count in same.items() if count < n)
    agreed = (
        f"of {n} answers, as the prompt alone is answered: {other}, all others all"
        if other
        else (f"every way answers as it does when the prompt is alone, all {n} of them")
    )
    matched = ", ".join(f"{found.matches:.3f} ({way})" for way, found in answers.items() if found.matches is not None)
    return f"{agreed}; exact_match with those {matched}"


def _ours(model: LocalModel, prompts: SampleSet, new_tokens: int) -> Answers:
    # A model keeps what it has answered; a copy that has answered nothing works anew.
    fresh = replace(model)
    measured = exact_match(fresh, prompts, max_new_tokens=new_tokens)
    answers = fresh.generate([prompt.messages for prompt in prompts], max_new_tokens=new_tokens)
    return Answers([answer.text for answer in answers], [answer.ids for answer in answers], measured.value)


def _lm_eval_ways(model: LocalModel, prompts: SampleSet, new_tokens: int) -> Ways:
    """Its usual batch size and the best of those that are tried, which may be one."""
    engines = {rows: lm_eval_side.engine(model, rows) for rows in lm_eval_side.ROWS}
    tried = {rows: partial(_theirs, engine, prompts, TRIED_TOKENS) for rows, engine in engines.items()}
    return {
        f"lm-eval, batch size {rows}": weighed(partial(_theirs, engines[rows], prompts, new_tokens))
        for rows in sorted({lm_eval_side.USUAL_ROWS, quickest_of(tried)})
    }


def _theirs(engine: Any, prompts: SampleSet, new_tokens: int) -> Answers:
    texts = lm_eval_side.completions(engine, [list(prompt.messages) for prompt in prompts], new_tokens)
    return Answers(texts, matches=lm_eval_side.exact_match(texts, [prompt.references[0] for prompt in prompts]))


def _plain_ways(model: LocalModel, prompts: SampleSet, new_tokens: int) -> Ways:
    """The best of the batches that are tried."""
    rows = quickest_of({rows: partial(_plain, model, prompts, TRIED_TOKENS, rows) for rows in PLAIN_PROMPTS})
    return {f"plain generate, {rows} prompts": weighed(partial(_plain, model, prompts, new_tokens, rows))}


def _plain(model: LocalModel, prompts: SampleSet, new_tokens: int, rows: int) -> Answers:
    config, answers = _config(model, new_tokens), []
    for start in range(0, len(prompts), rows):
        encoded = model.tokenizer.apply_chat_template(
            [list(prompt.messages) for prompt in prompts.samples[start : start + rows]],
            add_generation_prompt=True,
            padding=True,
            return_dict=True,
            return_tensors="pt",
            tokenizer_kwargs={"padding_side": "left"},
        ).to(model.module.device)
        with torch.inference_mode():
            ids = model.module.generate(**encoded, generation_config=config)
        answers += [_to_its_end(row, model.stop_ids) for row in ids[:, encoded["input_ids"].shape[1] :].tolist()]
    return Answers(_texts(model, answers), answers)


def _continuous_ways(model: LocalModel, prompts: SampleSet, new_tokens: int) -> Ways:
    """Continuous batching of transformers, at the best of the sizes of a step that are tried."""
    tried = {size: partial(_continuous, model, prompts, TRIED_TOKENS, size) for size in CONTINUOUS_TOKENS}
    size = quickest_of(tried)
    return {f"generate_batch, {size} tokens": weighed(partial(_continuous, model, prompts, new_tokens, size))}


def _continuous(model: LocalModel, prompts: SampleSet, new_tokens: int, batch_tokens: int) -> Answers:
    inputs = [model.prompt_ids(prompt.messages) for prompt in prompts]
    # By default its cache takes three fifths of a machine's memory, and filling it with zeros most of the time.
    pages = sum(math.ceil((len(ids) + new_tokens) / PAGE) for ids in inputs)
    sizes = ContinuousBatchingConfig(page_size=PAGE, num_blocks=pages, max_batch_tokens=batch_tokens)
    done = model.module.generate_batch(
        inputs, generation_config=_config(model, new_tokens), continuous_batching_config=sizes
    )
    # A request is named by its number, and finished ones come in no order.
    ordered = sorted(done, key=lambda name: int(name.rpartition("_")[2]))
    answers = [_to_its_end(done[name].generated_tokens, model.stop_ids) for name in ordered]
    return Answers(_texts(model, answers), answers)


def _config(model: LocalModel, new_tokens: int) -> GenerationConfig:
    return GenerationConfig(
        max_new_tokens=new_tokens, do_sample=False, eos_token_id=sorted(model.stop_ids), pad_token_id=model.pad_id
    )


def _to_its_end(ids: Sequence[int], stop_ids: Collection[int]) -> Ids:
    """Cut off what a batch appends to a row that has ended."""
    end = next((place for place, token in enumerate(ids, start=1) if token in stop_ids), len(ids))
    return tuple(ids[:end])


def _texts(model: LocalModel, answers: Sequence[Ids]) -> list[str]:
    return [model.tokenizer.decode(ids, skip_special_tokens=True) for ids in answers]
