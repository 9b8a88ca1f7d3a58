"""A second tree of modules over one set of tensors: one gets an adapter, the other stays the base model.

An adapter that is switched on and off has a state, which somebody always forgets to put back. Two trees have none: an
adapter replaces modules and leaves the tensors, so each tree is always what it is, whoever else is asked in between.
"""

from __future__ import annotations

import copy
from typing import Any

import torch

_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
"""By their size in bytes."""

_PIECE = 1 << 20
"""Numbers that are added at a time: torch first writes them all down as 64-bit integers."""

_ROWS, _TOKENS = 2, 16


class NoTwinError(Exception):
    """A model of which there is no second tree; the message says why."""


def twin_of(module: Any) -> Any:
    """The same modules once more, over the same numbers in memory; raises NoTwinError where that cannot be."""
    tensors = [*module.parameters(), *module.buffers()]
    special = {type(each).__name__ for each in tensors} - {"Parameter", "Tensor"}
    if special:  # of quantised weights, say: how one would stand for another is their library's affair
        raise NoTwinError(f"its weights are of the special kind {min(special)}")
    known = {id(each): _alias(each) for each in tensors}
    try:
        return copy.deepcopy(module, known).eval()
    except (TypeError, RuntimeError, NotImplementedError) as error:
        raise NoTwinError(f"its modules cannot be copied ({str(error)[:120]})") from None


def _alias(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor of its own over the same numbers: what is assigned to one is no part of the other."""
    shared = tensor.detach()
    return torch.nn.Parameter(shared, requires_grad=False) if isinstance(tensor, torch.nn.Parameter) else shared


@torch.no_grad()
def fingerprint(module: Any) -> tuple[int, ...]:
    """The sum of each tensor's bits, read as whole numbers: a single one that changes anywhere changes it."""
    return tuple(
        sum(int(piece.sum(dtype=torch.int64)) for piece in torch.split(_as_integers(each), _PIECE))
        for each in (*module.parameters(), *module.buffers())
    )


def _as_integers(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().flatten().view(_INTEGERS[tensor.element_size()])


@torch.inference_mode()
def says(module: Any) -> torch.Tensor:
    """The logits of fixed texts, of shape (rows, tokens, vocabulary), by which a model is known again to the bit."""
    rows = int(module.get_input_embeddings().weight.shape[0])
    # Ids that spread over the whole vocabulary; which texts they are is of no account.
    ids = (torch.arange(_ROWS * _TOKENS, device=module.device) * 7919 + 11).remainder(rows).view(_ROWS, _TOKENS)
    logits: torch.Tensor = module(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False).logits
    return logits.cpu()
