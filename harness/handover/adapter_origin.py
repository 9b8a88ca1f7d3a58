"""What an adapter was trained as and on, by the record of its training: its scaling, and its base's weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.findings import Note
from harness.handover.delivery import Delivery
from harness.handover.planned import planned_adapter
from harness.models.weight_files import weights_sample
from harness.provenance import WEIGHTS, files_digest
from harness.records import Finding
from harness.references import training_manifest

SAME_SAMPLE = 0.01
"""How far numbers of two samples of the same weights may be apart, relative: bfloat16 keeps eight bits."""


def scaling_is_what_was_trained(delivery: Delivery, note: Note) -> list[Finding]:
    """Each module's scaling, as its config gives it, is what the training recorded, and that of ``same_as``."""
    if not delivery.is_adapter:
        return []
    planned = planned_adapter(delivery.files)
    mine = planned.scaling
    if planned.trouble or planned.unknown:
        note("its scaling is not known without the weights of its base")
        return []
    known = _recorded_scaling(delivery)
    if not known:
        note("no record of the scaling that was trained: --same-as names the adapter as it was trained")
        return []
    return [
        Finding(
            "the adapter is scaled otherwise than it was trained",
            f"{module}, {len(mine)} modules in all",
            f"{recorded[module]:g} ({source})",
            f"{mine[module]:g}" if module in mine else "no scaling at all",
            "put lora_alpha, r, use_rslora and the patterns of adapter_config.json back to what was trained",
        )
        for source, recorded in known.items()
        for module in [_first_other(recorded, mine)]
        if module is not None
    ]


def the_base_is_the_one_trained_on(delivery: Delivery, note: Note) -> list[Finding]:
    """The base's weights are those that the training recorded: by digest, or where the files differ, by a sample."""
    if not delivery.is_adapter:
        return []
    manifest, base = training_manifest(delivery.files.folder), delivery.files.base
    recorded = manifest.get("base_weights")
    assert base is not None
    if not isinstance(recorded, str):
        note("no record of the base that it was trained on: python -m harness train writes one beside an adapter")
        return []
    if files_digest(base, WEIGHTS) == recorded:
        return []
    sample = manifest.get("base_sample")
    if isinstance(sample, list) and _same_sample(sample, weights_sample(base)):
        note(f"{delivery.files.base_name} is stored in other files than at the training; its weights are the same")
        return []
    return [
        Finding(
            "the adapter sits on another base than it was trained on",
            f"{delivery.files.name} on {delivery.files.base_name}",
            f"base weights with the digest {recorded} (training.json)",
            f"{files_digest(base, WEIGHTS)}",
            "name the very model and revision that it was trained on with --base-model",
        )
    ]


def _recorded_scaling(delivery: Delivery) -> dict[str, Mapping[str, float]]:
    known: dict[str, Mapping[str, float]] = {}
    recorded = training_manifest(delivery.files.folder).get("adapter_scaling")
    if isinstance(recorded, Mapping) and recorded and all(isinstance(each, int | float) for each in recorded.values()):
        known["training.json"] = recorded
    if delivery.same_as is not None and delivery.same_as.base is not None:
        known[delivery.same_as.name] = planned_adapter(delivery.same_as).scaling
    return known


def _first_other(recorded: Mapping[str, float], mine: Mapping[str, float]) -> str | None:
    for module, factor in recorded.items():
        if abs(mine.get(module, float("nan")) - factor) > 1e-6 * abs(factor) or module not in mine:
            return module
    return None


def _same_sample(left: list[Any], right: list[float]) -> bool:
    if len(left) != len(right) or not all(isinstance(number, int | float) for number in left):
        return False
    scale = max(map(abs, right), default=0.0)
    return all(abs(a - b) <= SAME_SAMPLE * max(abs(b), 1e-2 * scale) for a, b in zip(left, right, strict=True))
