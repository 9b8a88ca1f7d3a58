"""Greedy answers: the harness's, and the same prompts through plain ``model.generate``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from timing import Part, in_turns, seconds, stopwatch
from transformers import GenerationConfig

from harness.models.local import LocalModel
from harness.records import SampleSet

NEW_TOKENS = 32

Answers = list[tuple[int, ...]]


def generation(model: LocalModel, prompts: SampleSet, repeats: int) -> Part:
    """Time the prompts from their messages to the ids of the answers, each up to its first stop id."""
    runs = in_turns(
        {
            "harness": stopwatch(partial(_ours, model, prompts)),
            "plain, prompt by prompt": stopwatch(partial(_plain, model, prompts, 1)),
            f"plain, {len(prompts)} prompts a call": stopwatch(partial(_plain, model, prompts, len(prompts))),
        },
        repeats,
    )
    answers = {name: timed[-1].answer for name, timed in runs.items()}
    ours = answers.pop("harness")
    other = {name: sum(a != b for a, b in zip(ours, theirs, strict=True)) for name, theirs in answers.items()}
    agreement = "the same ids by every way"
    if any(other.values()):
        agreement = "OTHER ANSWERS: " + ", ".join(f"{count} by {name}" for name, count in other.items() if count)
    return Part(
        "generation",
        seconds(runs),
        f"{len(prompts)} prompts, at most {NEW_TOKENS} new tokens each; {agreement}",
        tokens=sum(map(len, ours)),
    )


def _ours(model: LocalModel, prompts: SampleSet) -> Answers:
    # A model keeps what it has answered; a copy that has answered nothing works anew.
    completions = replace(model).generate([prompt.messages for prompt in prompts], max_new_tokens=NEW_TOKENS)
    return [completion.ids for completion in completions]


def _plain(model: LocalModel, prompts: SampleSet, rows: int) -> Answers:
    stop_ids = sorted(model.stop_ids)
    config = GenerationConfig(
        max_new_tokens=NEW_TOKENS, do_sample=False, eos_token_id=stop_ids, pad_token_id=model.pad_id
    )
    answers: Answers = []
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
        answers += [_to_its_end(row, stop_ids) for row in ids[:, encoded["input_ids"].shape[1] :].tolist()]
    return answers


def _to_its_end(ids: Sequence[int], stop_ids: Sequence[int]) -> tuple[int, ...]:
    """Cut off what a batch appends to a row that has ended."""
    end = next((place for place, token in enumerate(ids, start=1) if token in stop_ids), len(ids))
    return tuple(ids[:end])
