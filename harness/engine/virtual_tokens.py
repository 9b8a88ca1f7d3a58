"""Adapters that put virtual tokens before every text, as prefix and prompt tuning do.

To the text they are a past that is already in the cache. Said so once, here, they need no case of their own where texts
are padded, batched and positioned.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch

from harness.errors import ModelError


@dataclass(frozen=True)
class Opened:
    """What a text runs through: the module, the cache that it goes on from, and the ``length`` of that in tokens.

    Where there are no virtual tokens, ``cache`` is None and ``length`` 0.
    """

    module: Any
    cache: Any = None
    length: int = 0

    def cache_of(self, rows: int) -> Any:
        """The cache of a single row for so many, to be written into; None where there is none."""
        cache = copy.deepcopy(self.cache)
        if cache is not None and rows > 1:
            cache.batch_repeat_interleave(rows)
        return cache


def virtual_tokens(module: Any) -> int:
    """How many virtual tokens stand before every text; they take up positions of the model."""
    config = getattr(module, "active_peft_config", None)
    return int(config.num_virtual_tokens) if config is not None and config.is_prompt_learning else 0


@torch.inference_mode()
def opened(module: Any, rows: int) -> Opened:
    """The module as a batch of ``rows`` texts finds it: the base model, its cache filled with the virtual tokens.

    peft itself puts the padding of a batch between the virtual tokens and the text, and counts positions as if it were
    text; the base model, asked directly with a mask and positions, does not.

    Raises ModelError where the virtual tokens depend on a task that the adapter does not name.
    """
    length = virtual_tokens(module)
    if not length:
        return Opened(module)
    base = module.get_base_model()
    try:
        prompt = module.get_prompt(batch_size=rows)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ModelError(
            f"the adapter's virtual tokens cannot be computed ({error}); adapters with several tasks are not supported."
        ) from None
    if hasattr(prompt, "get_seq_length"):
        return Opened(base, prompt, length)
    embeddings = prompt.to(base.get_input_embeddings().weight.dtype)
    return Opened(base, base(inputs_embeds=embeddings, use_cache=True, logits_to_keep=1).past_key_values, length)
