"""Tokens that training must still teach: their rows in the embedding and in the head hold nothing, so they must move.

A row holds nothing where it was added beyond the rows of the checkpoint that the model was loaded from, is zero, lies
at the mean of all rows (where ``resize_token_embeddings`` puts new ones) or is the same as another control token's
(as base models leave tokens that they never saw). Whether it can move is asked of autograd, with a gradient through
that one row, so full tuning, ``modules_to_save``, ``trainable_token_indices`` and tied weights all answer for
themselves.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from harness.chat.control import control_ids, name_token
from harness.inspection.batches import IGNORED
from harness.inspection.matching import Inspection, place
from harness.inspection.origins import Match
from harness.records import Finding

if TYPE_CHECKING:
    from transformers import Trainer

Matrix = Literal["embedding", "head"]

TYPICAL = 1000
"""Rows from which the typical distance between a row and the mean is taken."""

NEAR = 0.01
"""Two points are one where their distance is below this share of the typical one. Random rows are 1.4 of it apart, and
``resize_token_embeddings`` scatters new rows around the mean by about 3e-5 of it."""


def tokens_in_use_can_be_learned(trainer: Trainer, seen: Inspection) -> list[Finding]:
    """Every token of the batches has a row that means something already, or one that training can change.

    What is read needs a row in the embedding, what is learned one in the head.
    """
    controls = sorted(control_ids(seen.tokenizer))
    findings = []
    for matrix, module in _matrices(trainer.model):
        first_seen = _first_seen(seen, matrix)
        doubtful = _empty_rows(module, sorted(first_seen), controls, _rows_at_the_start(trainer.model))
        for token_id, reason in doubtful.items():
            if token_id != getattr(module, "padding_idx", None) and not _can_move(module, token_id, matrix):
                findings.append(_finding(seen, token_id, matrix, reason, first_seen[token_id]))
    return findings


def _matrices(model: Any) -> Iterator[tuple[Matrix, Any]]:
    """The embedding and the head, where they are matrices in this process (a sharded one has no rows here)."""
    found: tuple[tuple[Matrix, Any], ...] = (
        ("embedding", model.get_input_embeddings()),
        ("head", model.get_output_embeddings()),
    )
    for matrix, module in found:
        weight = getattr(module, "weight", None)
        if weight is not None and weight.dim() == 2 and weight.is_floating_point() and weight.device.type != "meta":
            yield matrix, module


def _first_seen(seen: Inspection, matrix: Matrix) -> dict[int, tuple[Match, int]]:
    """Every token that this matrix needs a row for, with the place where it occurs first."""
    found: dict[int, tuple[Match, int]] = {}
    for match in seen.matches:
        tokens = match.segment.ids if matrix == "embedding" else match.segment.labels
        for at, token_id in enumerate(tokens):
            if token_id != IGNORED:
                found.setdefault(token_id, (match, at))
    return found


def _rows_at_the_start(model: Any) -> int | None:
    """How many tokens the checkpoint had rows for that the model was loaded from; None where it is not at hand."""
    from transformers.utils import cached_file

    name = getattr(model.config, "_name_or_path", "")
    if not name:
        return None
    try:
        file = cached_file(name, "config.json", local_files_only=True)
        stated = json.loads(Path(str(file)).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    rows = stated.get("vocab_size", (stated.get("text_config") or {}).get("vocab_size"))
    return rows if isinstance(rows, int) else None


@torch.no_grad()
def _empty_rows(module: Any, used: list[int], controls: list[int], at_the_start: int | None) -> dict[int, str]:
    """The tokens in use whose row holds nothing, with the reason."""
    weight = module.weight
    rows = weight.shape[0]
    used = [token_id for token_id in used if token_id < rows]
    if not used:
        return {}
    mean = weight.mean(0, dtype=torch.float32)
    step = max(1, rows // TYPICAL)
    typical = float((weight[::step].float() - mean).norm(dim=1).median())
    mine = weight[torch.tensor(used, device=weight.device)].float()
    zero = (mine == 0).all(dim=1).tolist()
    from_mean = ((mine - mean).norm(dim=1) < NEAR * typical).tolist()
    twins = _twins(weight, used, [i for i in controls if i < rows], NEAR * typical)
    found = {}
    for token_id, is_zero, at_mean in zip(used, zero, from_mean, strict=True):
        if at_the_start is not None and token_id >= at_the_start:
            found[token_id] = f"was added to the {at_the_start} tokens that the checkpoint knows"
        elif is_zero:
            found[token_id] = "is zero"
        elif at_mean:
            found[token_id] = "lies at the mean of all rows, where resize_token_embeddings puts new ones"
        elif token_id in twins:
            found[token_id] = f"is the same as that of the control token {twins[token_id]}, so nothing tells them apart"
    return found


def _twins(weight: torch.Tensor, used: list[int], controls: list[int], near: float) -> dict[int, int]:
    """Control tokens in use with another control token whose row is the same."""
    mine = [token_id for token_id in used if token_id in set(controls)]
    if len(controls) < 2 or not mine:
        return {}
    others = weight[torch.tensor(controls, device=weight.device)].float()
    found = {}
    for token_id in mine:
        distances = (others - weight[token_id].float()).norm(dim=1).tolist()
        twin = next((i for i, d in zip(controls, distances, strict=True) if i != token_id and d < near), None)
        if twin is not None:
            found[token_id] = twin
    return found


def _can_move(module: Any, token_id: int, matrix: Matrix) -> bool:
    """Whether a step of training changes this token's row: some trainable weight has a gradient through it."""
    trainable = [weight for weight in module.parameters() if weight.requires_grad]
    if not trainable:
        return False
    weight = module.weight
    # A fixed direction without symmetry: a plain sum would be zero for rows that are centred.
    direction = torch.linspace(0.5, 1.5, weight.shape[1], device=weight.device, dtype=weight.dtype)
    with torch.enable_grad(), torch.autocast(weight.device.type, enabled=False):
        if matrix == "embedding":
            value = (module(torch.tensor([[token_id]], device=weight.device)) * direction).sum()
        else:
            value = module(direction.reshape(1, 1, -1))[..., token_id].sum()
        if not value.requires_grad:
            return False
        gradients = torch.autograd.grad(value, trainable, allow_unused=True)
    return any(gradient is not None and bool((gradient != 0).any()) for gradient in gradients)


def _finding(seen: Inspection, token_id: int, matrix: Matrix, reason: str, first: tuple[Match, int]) -> Finding:
    match, at = first
    token = name_token(seen.tokenizer, token_id)
    does = "is read" if matrix == "embedding" else "is to be learned"
    return Finding(
        f"the token {token} {does}, but its row of the {matrix} is frozen and was never trained",
        f"{place(match, at)}, for the first time",
        f"a row of the {matrix} that training can change, or one that means something already",
        f"its row {reason}",
        f"with LoRA, give LoraConfig(trainable_token_indices=[{token_id}, ...]) or modules_to_save=['embed_tokens', "
        "'lm_head']; else use a token that the base model was trained with",
    )
