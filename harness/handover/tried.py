"""An adapter tried out: alone and on its base, padded, merged, merged in the dtype of its base, and loaded again.

The model is loaded once, in float32, and all is asked of it in turn; what is kept of it are logits.
"""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import torch

from harness.errors import ModelError
from harness.handover.delivery import Delivery
from harness.handover.equality import in_float32, without_adapter
from harness.handover.fresh import fresh_logits
from harness.handover.probes import PROSE, logits_of, probes_of
from harness.models.asked import afresh
from harness.models.files import first_line
from harness.models.twin import fingerprint
from harness.models.weight_files import stored_dtypes
from harness.training.data import without_bars

Logits = list[torch.Tensor]

UNEQUAL = ((PROSE[:24], PROSE[24:40]), (f"{PROSE} {PROSE}", PROSE[:24]))
"""(Context, continuation) of unequal lengths, so that one is padded where both are scored in a batch."""

ROOM = 1.2
"""Free space of the disk, as a multiple of the merged model, that a copy may be written into."""


@dataclass(frozen=True)
class Merged:
    """A model after its merge.

    ``rounded`` are its logits with the adapted matrices rounded to ``dtype``, the one that the base is stored in, and
    None where that is float32; ``lost`` is how much of the change of the weights that rounding took, as a share.
    ``embedding_moved`` tells that the embedding is another one though nothing adapts it. ``reloaded`` are the logits of
    a fresh process, None where no copy could be written, for the reason ``not_reloaded``.
    """

    logits: Logits
    dtype: str
    rounded: Logits | None
    lost: float
    embedding_moved: bool
    reloaded: Logits | None
    not_reloaded: str


@dataclass(frozen=True)
class Tried:
    """What an adapter computes.

    ``padded`` are logits with padding on the left and no position ids; ``alone`` and ``together`` hold log-likelihoods
    of texts of unequal length, scored one by one and in one batch. ``cannot`` says why there is no merge.
    """

    probes: Sequence[Sequence[int]]
    live: Logits
    base: Logits
    padded: Logits
    base_padded: Logits
    alone: tuple[float, ...]
    together: tuple[float, ...]
    merged: Merged | None
    cannot: str = ""


_TRIED: WeakKeyDictionary[Delivery, Tried] = WeakKeyDictionary()


def tried(delivery: Delivery) -> Tried:
    """What the delivered adapter computes; asked once."""
    if delivery not in _TRIED:
        _TRIED[delivery] = _try(delivery)
    return _TRIED[delivery]


def _try(delivery: Delivery) -> Tried:
    model = afresh(in_float32(delivery.files, delivery))
    module = model.module
    tokenizer = delivery.files.tokenizer
    probes, pad = probes_of(delivery.files), int(tokenizer.pad_token_id or 0)
    live, padded = logits_of(module, probes), _padded(module, probes, pad)
    alone = tuple(model.loglikelihood([pair])[0].total for pair in UNEQUAL)
    together = tuple(each.total for each in model.loglikelihood(UNEQUAL))
    with without_adapter(module, delivery.files, delivery) as bare:
        base, base_padded = logits_of(bare, probes), _padded(bare, probes, pad)
    merged, cannot = _merge(module, delivery, probes)
    return Tried(probes, live, base, padded, base_padded, alone, together, merged, cannot)


def _padded(module: Any, probes: Sequence[Sequence[int]], pad: int) -> Logits:
    """Logits of the first probe with padding on its left and no position ids, as a batch of unequal prompts has it."""
    ids, gap = list(probes[0]), 5
    given = torch.tensor([[pad] * gap + ids], device=module.device)
    mask = torch.tensor([[0] * gap + [1] * len(ids)], device=module.device)
    with torch.inference_mode():
        logits = module(input_ids=given, attention_mask=mask, use_cache=False).logits[0]
    return [logits[-len(ids) :].float().cpu()]


def _merge(module: Any, delivery: Delivery, probes: Sequence[Sequence[int]]) -> tuple[Merged | None, str]:
    if not hasattr(module, "merge_and_unload") or not hasattr(module.base_model, "merge_and_unload"):
        return None, f"{module.peft_type} has nothing that could be merged into the weights of its base"
    dtype = _stored_dtype(delivery)
    rounds = dtype != "float32"
    before = {name: weight.detach().clone() for name, weight in _adapted(module).items()} if rounds else {}
    embedding = module.get_input_embeddings()
    adapts_embedding = any("lora_" in name or "original_module" in name for name, _ in embedding.named_parameters())
    kept = None if adapts_embedding else fingerprint(embedding)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what a merge endangers is looked at here
            whole = module.merge_and_unload()
    except (ValueError, NotImplementedError, AttributeError, TypeError) as error:
        return None, f"peft cannot merge it ({' '.join(str(error).split())[:160]})"
    logits = logits_of(whole, probes)
    reloaded, why = _reload(whole, delivery, probes)
    moved = kept is not None and fingerprint(whole.get_input_embeddings()) != kept
    rounded, lost = _rounded(whole, before, dtype, probes) if rounds else (None, 0.0)
    return Merged(logits, dtype, rounded, lost, moved, reloaded, why), ""


def _adapted(module: Any) -> dict[str, torch.Tensor]:
    """The matrices of the base that the adapter sits on, by their names after the merge."""
    names = {}
    for name, weight in module.get_base_model().named_parameters():
        if name.endswith("base_layer.weight"):
            names[name.replace("base_layer.", "")] = weight
    return names


def _stored_dtype(delivery: Delivery) -> str:
    stored = stored_dtypes(delivery.files.base or delivery.files.folder) & {"float16", "bfloat16"}
    return min(stored, default="float32")


def _rounded(
    whole: Any, before: dict[str, torch.Tensor], dtype: str, probes: Sequence[Sequence[int]]
) -> tuple[Logits, float]:
    """Round the merged matrices as saving in ``dtype`` does, and see what is left of what the adapter changed."""
    after, changed, gone = dict(whole.named_parameters()), 0.0, 0.0
    with torch.no_grad():
        for name, old in before.items():
            if name in after:
                exact = after[name].detach().clone()
                after[name].copy_(exact.to(getattr(torch, dtype)).float())
                changed += float((exact - old).square().sum())
                gone += float((after[name] - exact).square().sum())
    return logits_of(whole, probes), (gone / changed) ** 0.5 if changed else 0.0


def _reload(whole: Any, delivery: Delivery, probes: Sequence[Sequence[int]]) -> tuple[Logits | None, str]:
    size = sum(weight.numel() * weight.element_size() for weight in whole.parameters())
    with tempfile.TemporaryDirectory(prefix="pytest-sft-merged-") as scratch:
        if shutil.disk_usage(scratch).free < ROOM * size:
            return None, f"no room in {scratch} for a copy of {size / 2**30:.1f} GiB"
        try:
            with without_bars():
                whole.save_pretrained(scratch)
        except RuntimeError as error:  # of weights that share their numbers, as layers do that an adapter repeats
            return None, f"the merged model cannot be saved ({first_line(error)})"
        remote = delivery.loading.trust.remote_code
        try:
            return fresh_logits(Path(scratch), probes, device=delivery.loading.device, remote_code=remote), ""
        except ModelError as error:
            return None, str(error)
