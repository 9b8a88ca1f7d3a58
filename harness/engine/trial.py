"""Whether rows of a model may enter a running batch: found by trying, never by the model's name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from harness.engine.batches import Budget, is_out_of_memory
from harness.engine.entering import BEGINNING, Entering, read
from harness.engine.precision import divergence, floor
from harness.engine.rows import Text
from harness.engine.sharing import CANNOT
from harness.engine.slots import is_plain, token_bytes
from harness.engine.virtual_tokens import opened

LENGTHS = (BEGINNING + 16, BEGINNING + 4, BEGINNING + 9)
"""Tokens of the texts that are tried; their beginning is long enough to be read once for all of them."""

FAR = 512
"""Columns that are read in a trial, which a longer row beside these would bring: a model that counts back from the last
of them, as GPT-Neo does for its local attention, loses sight of the short rows."""


def token_bytes_in_slots(module: Any, prompt: Sequence[int], pad_id: int) -> int:
    """How many bytes the slots keep of a token; 0 where rows that come and go would change what the model answers."""
    ids = list(prompt) * max(LENGTHS)  # as long as it takes
    try:
        start = opened(module, 1)
        _, cache = read(start, [ids[:1]], pad_id)
        if not is_plain(cache):
            return 0
        apart = torch.cat([divergence(expected, found) for expected, found in _both_ways(module, ids, pad_id)])
        return token_bytes(cache) if float(apart.mean()) <= floor(module.dtype) else 0
    except CANNOT as error:
        if is_out_of_memory(error):
            raise
        return 0


def _both_ways(module: Any, ids: Sequence[int], pad_id: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Logits of texts that are read whole, and the same from rows of which one enters late and one leaves early."""
    first, second, third = (list(ids[:length]) for length in LENGTHS)
    texts = [Text(tuple(each), FAR) for each in (first, second, third)]
    rows = Entering(module, texts, pad_id=pad_id, budget=Budget(2 * max(LENGTHS)), held=1 << 20, most=len(texts))
    rows.admits(texts)

    def whole(text: Sequence[int]) -> torch.Tensor:
        return _whole(module, text)

    def go_on(standing: Sequence[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        assert rows.slots is not None, "there are rows"
        rows.slots.least = rows.slots.columns
        newest = [int(ids[len(text)]) for text in standing]
        for text, token in zip(standing, newest, strict=True):
            text.append(token)
        return torch.stack([whole(text) for text in standing]), rows.take(newest)

    yield torch.stack([whole(first), whole(second)]), rows.enter(texts[:2])
    yield go_on([first, second])
    yield whole(third)[None], rows.enter(texts[2:])
    rows.keep([1, 2])
    yield go_on([third, second])


@torch.inference_mode()
def _whole(module: Any, text: Sequence[int]) -> torch.Tensor:
    """The logits after a text, without a cache where nothing stands before it."""
    start = opened(module, 1)
    ids = torch.tensor([list(text)], device=start.module.device)
    out = start.module(input_ids=ids, past_key_values=start.cache, use_cache=start.cache is not None)
    logits: torch.Tensor = out.logits[0, -1]
    return logits
