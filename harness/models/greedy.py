"""Greedy decoding: one batch at a time, each row leaving it as soon as it has ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import DynamicCache

from harness.errors import InvalidRunError
from harness.models.batches import Budget, Track, longest_first
from harness.models.virtual_tokens import opened


def decode_greedily(
    module: Any,
    prompts: Sequence[Sequence[int]],
    *,
    stop_ids: frozenset[int],
    pad_id: int,
    max_new_tokens: int,
    budget: Budget,
    track: Track,
) -> list[list[int]]:
    """Return the new ids of every prompt: up to and including the first stop id, or ``max_new_tokens`` of them.

    Only the arguments decide: sampling, penalties and minimum lengths of the checkpoint's generation config do not.
    """
    answers: list[list[int]] = [[] for _ in prompts]
    lengths = [len(prompt) + max_new_tokens for prompt in prompts]
    for batch in track(list(longest_first(lengths, budget)), "generating"):
        chosen = [prompts[index] for index in batch]
        for index, answer in zip(batch, _decode(module, chosen, stop_ids, pad_id, max_new_tokens), strict=True):
            answers[index] = answer
    return answers


@torch.inference_mode()
def _decode(
    module: Any, prompts: Sequence[Sequence[int]], stop_ids: frozenset[int], pad_id: int, max_new_tokens: int
) -> list[list[int]]:
    device = module.device
    start = opened(module, len(prompts))
    width = max(len(prompt) for prompt in prompts)
    # Padding stands on the left, so that every row's newest token is in the last column.
    padded = [[pad_id] * (width - len(prompt)) + list(prompt) for prompt in prompts]
    inputs = torch.tensor(padded, device=device)
    seen = [[1] * start.length + [0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts]
    mask = torch.tensor(seen, device=device)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, start.length :]
    cache = DynamicCache(config=module.config) if start.cache is None else start.cache
    answers: list[list[int]] = [[] for _ in prompts]
    alive = list(range(len(prompts)))
    for _ in range(max_new_tokens):
        out = start.module(
            input_ids=inputs,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        # An adapter may hand back a cache of its own, with what it has to remember beside the base model's.
        cache, logits = out.past_key_values, out.logits
        if logits[:, -1].isnan().any():
            # argmax would take a NaN for the likeliest token of all, id 0 perhaps: an answer that "stops" at once.
            raise InvalidRunError("the model computes NaN, so its answers mean nothing: look for damaged weights")
        newest = logits[:, -1].argmax(-1).tolist()
        for row, token in zip(alive, newest, strict=True):
            answers[row].append(token)
        going = [place for place, token in enumerate(newest) if token not in stop_ids]
        if not going:
            break
        if len(going) < len(alive):
            kept = torch.tensor(going, device=device)
            cache.batch_select_indices(kept)
            mask, positions = mask[kept], positions[kept]
            alive = [alive[place] for place in going]
        inputs = torch.tensor([[newest[place]] for place in going], device=device)
        mask = torch.cat([mask, mask.new_ones(len(alive), 1)], dim=-1)
        positions = positions[:, -1:] + 1
    return answers
