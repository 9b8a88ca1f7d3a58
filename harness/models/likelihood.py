"""Log-likelihoods in batches: rows of like length together, the vocabulary head only where tokens are scored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch

from harness.models.batches import Budget, Track, longest_first
from harness.models.tokens import Scored
from harness.models.virtual_tokens import opened


def score(
    module: Any, rows: Sequence[Scored], *, pad_id: int, budget: Budget, track: Track
) -> list[list[tuple[float, bool]]]:
    """Return, for each row and each of its scored tokens, (natural-log probability, was it the most likely token).

    Equal rows are computed once. Rows are padded on the right, where causal attention does not look.
    """
    unique = list(dict.fromkeys(rows))
    results: dict[Scored, list[tuple[float, bool]]] = {}
    lengths = [len(row.ids) - 1 for row in unique]
    for batch in track(list(longest_first(lengths, budget)), "scoring"):
        chosen = [unique[index] for index in batch]
        results.update(zip(chosen, _forward(module, chosen, pad_id), strict=True))
    return [results[row] for row in rows]


@torch.inference_mode()
def _forward(module: Any, rows: Sequence[Scored], pad_id: int) -> Iterable[list[tuple[float, bool]]]:
    """One forward pass. The last id of a row is only a target, so it is never fed."""
    device = module.device
    start = opened(module, len(rows))
    width = max(len(row.ids) for row in rows) - 1
    first = min(len(row.ids) - 1 - row.targets for row in rows)
    inputs = torch.full((len(rows), width), pad_id)
    mask = torch.zeros((len(rows), start.length + width), dtype=torch.long)
    targets = torch.zeros((len(rows), width), dtype=torch.long)
    for index, row in enumerate(rows):
        length = len(row.ids) - 1
        inputs[index, :length] = torch.tensor(row.ids[:-1])
        mask[index, : start.length + length] = 1
        targets[index, :length] = torch.tensor(row.ids[1:])
    keep = torch.arange(first, width, device=device)
    logits = start.module(
        input_ids=inputs.to(device),
        attention_mask=mask.to(device),
        past_key_values=start.cache,
        use_cache=start.cache is not None,
        logits_to_keep=keep,
    ).logits.float()
    wanted = targets[:, first:].to(device)
    chosen = logits.gather(-1, wanted.unsqueeze(-1)).squeeze(-1)
    losses = (chosen - logits.logsumexp(-1)).tolist()
    greedy = (logits.argmax(-1) == wanted).tolist()
    for index, row in enumerate(rows):
        end = len(row.ids) - 1 - first
        begin = end - row.targets
        yield list(zip(losses[index][begin:end], greedy[index][begin:end], strict=True))
