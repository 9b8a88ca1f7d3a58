"""Whether the model that is handed over computes what the one that it was made from does."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from harness.chat.control import first_difference, quoted
from harness.engine.precision import FLOORS
from harness.findings import Note
from harness.handover.delivery import Delivery
from harness.handover.probes import Distance, distance, logits_of, probe_ids, probes_of
from harness.models.fetch import gguf_types
from harness.models.files import ModelFiles
from harness.models.load import with_weights
from harness.models.local import LocalModel
from harness.models.weight_files import stored_dtypes
from harness.records import Finding
from harness.training.data import without_bars

QUANTISED = 0.1
"""As ``FLOORS``, for weights of fewer than 16 bits; four bits a weight move a small model by up to about this much."""

EIGHT_BITS, AT_MOST = 2e-3, 0.5
"""The same for GGUF's types: that of 8.5 bits a weight, four times as much for each bit less, and the most of all.

Rounding errors halve with every bit and divergence goes with their square. Measured on the demo: 6.0e-4 nats at 8.5
bits, 4.2e-2 at 5.5 and 0.17 at 4.5."""

SHARE_LOST = 0.2
"""How much of what tuning changed may be changed back: divergence from the tuned model over that of its base."""


def the_model_equals_what_it_was_made_from(delivery: Delivery, note: Note) -> list[Finding]:
    """The delivered model and ``same_as`` give next tokens the same probabilities, within the floor of their dtype."""
    other = delivery.same_as
    if other is None:
        return []
    probes = probe_ids(other.tokenizer)
    if probes != probe_ids(delivery.files.tokenizer):
        return [
            Finding(
                "the same conversations are other token ids",
                f"{delivery.files.name}, beside {other.name}",
                "the same tokenizer and the same chat template",
                _first_other(probes, probe_ids(delivery.files.tokenizer), other.tokenizer, delivery.files.tokenizer),
                "deliver the tokenizer files and the chat template that the model was trained with",
            )
        ]
    probes = probes_of(other, delivery.files)
    expected, base = _with_its_base(other, delivery, probes)
    found = logits_of(loaded_in_float32(delivery.files, delivery), probes)
    apart = distance(expected, found)
    allowed = floor_of(delivery.files, other)
    note(
        f"mean divergence from {other.name} {apart.kl:.2e} nats (allowed {allowed:.0e}), same first choice in "
        f"{apart.agreement:.1%} of positions"
    )
    lost = apart.kl / tuned if base is not None and (tuned := distance(expected, base).kl) > allowed else 0.0
    if apart.kl <= allowed and lost <= SHARE_LOST:
        return []
    return [
        told_apart(
            "the model is not the one that it was made from", delivery.files.name, other, probes, apart, allowed, lost
        )
    ]


def loaded_in_float32(files: ModelFiles, delivery: Delivery) -> Any:
    """The module with its weights, in float32: there only the weights can differ and not the arithmetic."""
    return in_float32(files, delivery).module


def in_float32(files: ModelFiles, delivery: Delivery) -> LocalModel:
    """The same as a model that can be asked."""
    with warnings.catch_warnings(), without_bars():
        warnings.simplefilter("ignore")  # what peft warns of when it puts an adapter on is looked at here
        model = with_weights(files, replace(delivery.loading, own=True, dtype="float32", batch_size=None))
        _ = model.module  # read here, where warnings are held back
    return model


def _with_its_base(files: ModelFiles, delivery: Delivery, probes: Sequence[Sequence[int]]) -> tuple[Any, Any]:
    """Logits of a model, and of its base where it is an adapter; one model is in memory at a time."""
    module = loaded_in_float32(files, delivery)
    expected = logits_of(module, probes)
    if files.base is None:
        return expected, None
    with without_adapter(module, files, delivery) as base:
        return expected, logits_of(base, probes)


@contextmanager
def without_adapter(module: Any, files: ModelFiles, delivery: Delivery) -> Iterator[Any]:
    """The base under an adapter: the same module with the adapter off, or another one where biases were trained too."""
    biases = any(getattr(config, "bias", "none") != "none" for config in module.peft_config.values())
    if biases and files.base is not None:
        yield loaded_in_float32(replace(files, folder=files.base, base=None, base_name=""), delivery)
        return
    with module.disable_adapter():
        yield module


def floor_of(*models: ModelFiles) -> float:
    """The floor of the coarsest dtype that any of the models' weights are stored in."""
    return max(_floor(model) for model in models)


def _floor(model: ModelFiles) -> float:
    folder = model.base or model.folder
    kinds = gguf_types(folder)  # such a file was dequantised on reading
    if kinds:
        return max(FLOORS[name] if name in FLOORS else _floor_of_gguf(name) for name in kinds)
    return max((FLOORS.get(name, QUANTISED) for name in stored_dtypes(folder)), default=FLOORS["float32"])


def _floor_of_gguf(kind: str) -> float:
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    if kind not in GGMLQuantizationType.__members__:
        return QUANTISED
    weights, size = GGML_QUANT_SIZES[GGMLQuantizationType[kind]]  # in a block, and its bytes
    bits = 8 * size / weights
    return float(min(AT_MOST, EIGHT_BITS * 4 ** (8.5 - bits)))


def told_apart(
    what: str,
    name: str,
    other: ModelFiles,
    probes: Sequence[Sequence[int]],
    apart: Distance,
    allowed: float,
    lost: float,
) -> Finding:
    """The finding that two models differ, with the place where they differ most."""
    number, at = apart.where
    first, second = (quoted(other.tokenizer, [token]) for token in apart.likeliest)
    before = quoted(other.tokenizer, list(probes[number][max(0, at - 7) : at + 1]))
    said = f"; {min(lost, 1.0):.0%} of what tuning changed is gone" if lost > SHARE_LOST else ""
    return Finding(
        what,
        f"{name}, beside {other.name}; most after {before}",
        f"a mean divergence of at most {allowed:.0e} nats, {first} as the likeliest token there",
        f"{apart.kl:.2e} nats, {second}; the same first choice in {apart.agreement:.1%} of positions{said}",
        "merge into the very base that the adapter was trained on, with its scaling, in float32 or its own dtype; then "
        "compare again before anything is quantised",
    )


def _first_other(left: Any, right: Any, one: Any, other: Any) -> str:
    for ids, others in zip(left, right, strict=False):
        if ids != others:
            at = first_difference(ids, others)
            return f"{_with_ids(other, others[at : at + 8])} where {_with_ids(one, ids[at : at + 8])} stands"
    return f"{len(right)} conversations that can be rendered, {len(left)} before"


def _with_ids(tokenizer: Any, ids: Sequence[int]) -> str:
    return f"{quoted(tokenizer, ids)} (ids {' '.join(map(str, ids))})"
