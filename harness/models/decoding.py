"""Token by token: one batch at a time, prompts read once for all their answers, each row leaving when it has ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import DynamicCache

from harness.errors import InvalidRunError
from harness.models.virtual_tokens import opened

Choose = Callable[[torch.Tensor, Sequence[int], int], list[int]]
"""From logits (rows, vocabulary), the numbers of these rows in the batch, and how many tokens came before: new ids."""


def likeliest(logits: torch.Tensor, rows: Sequence[int], place: int) -> list[int]:  # noqa: ARG001 - as Choose has it
    """The most likely token of each row: greedy decoding."""
    newest: list[int] = logits.argmax(-1).tolist()
    return newest


@torch.inference_mode()
def decode(
    module: Any,
    prompts: Sequence[Sequence[int]],
    *,
    ended: Callable[[Sequence[int]], bool],
    pad_id: int,
    max_new_tokens: int,
    choose: Choose = likeliest,
    copies: int = 1,
) -> list[list[int]]:
    """New ids of a batch: of each row the shortest answer that has ``ended``, or ``max_new_tokens`` of them.

    Each prompt has ``copies`` answers, one after the other. Only the arguments decide: sampling, penalties and minimum
    lengths of the checkpoint's generation config do not. Raises InvalidRunError where the model computes NaN.
    """
    answers: list[list[int]] = [[] for _ in range(copies * len(prompts))]
    alive = list(range(len(answers)))
    steps = _Steps(module, prompts, pad_id, copies)
    for place in range(max_new_tokens):
        if steps.logits.isnan().any():
            # argmax would take a NaN for the likeliest token of all, id 0 perhaps: an answer that "stops" at once.
            raise InvalidRunError("the model computes NaN, so its answers mean nothing: look for damaged weights")
        newest = choose(steps.logits, alive, place)
        for row, token in zip(alive, newest, strict=True):
            answers[row].append(token)
        going = [at for at, row in enumerate(alive) if not ended(answers[row])]
        if not going or place + 1 == max_new_tokens:
            break
        if len(going) < len(alive):
            steps.keep(going)
            alive = [alive[at] for at in going]
        steps.take([newest[at] for at in going])
    return answers


class _Steps:
    """A batch on its way through the model: ``logits`` (rows, vocabulary) are those of every row's next token."""

    def __init__(self, module: Any, prompts: Sequence[Sequence[int]], pad_id: int, copies: int) -> None:
        self.device = module.device
        start = opened(module, len(prompts))
        self.module = start.module
        width = max(len(prompt) for prompt in prompts)
        # Padding stands on the left, so that every row's newest token is in the last column.
        padded = [[pad_id] * (width - len(prompt)) + list(prompt) for prompt in prompts]
        seen = [[1] * start.length + [0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts]
        self.mask = torch.tensor(seen, device=self.device)
        self.positions = (self.mask.cumsum(-1) - 1).clamp(min=0)[:, start.length :]
        self.cache = DynamicCache(config=module.config) if start.cache is None else start.cache
        self.logits: torch.Tensor
        self._forward(torch.tensor(padded, device=self.device))
        if copies > 1:
            self.cache.batch_repeat_interleave(copies)
            self.mask, self.positions, self.logits = (
                each.repeat_interleave(copies, dim=0) for each in (self.mask, self.positions, self.logits)
            )

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows only."""
        kept = torch.tensor(rows, device=self.device)
        self.cache.batch_select_indices(kept)
        self.mask, self.positions = self.mask[kept], self.positions[kept]

    def take(self, newest: Sequence[int]) -> None:
        """Let every row read its newest token."""
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(newest), 1)], dim=-1)
        self.positions = self.positions[:, -1:] + 1
        self._forward(torch.tensor(newest, device=self.device)[:, None])

    def _forward(self, inputs: torch.Tensor) -> None:
        out = self.module(
            input_ids=inputs,
            attention_mask=self.mask,
            position_ids=self.positions,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        # An adapter may hand back a cache of its own, with what it has to remember beside the base model's.
        self.cache, self.logits = out.past_key_values, out.logits[:, -1]
