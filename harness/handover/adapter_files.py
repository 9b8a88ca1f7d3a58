"""The files of an adapter: whether each tensor has its place, and each module that was asked for is adapted."""

from __future__ import annotations

import torch

from harness.findings import Note
from harness.handover.delivery import Delivery
from harness.handover.planned import Planned, planned_adapter
from harness.models.adapters import adapter_config
from harness.models.bare import is_called
from harness.models.weight_files import ADAPTER, DTYPES, Stored, read_tensor, stored_tensors
from harness.records import Finding

SHOWN = 3


def every_adapter_tensor_has_its_place(delivery: Delivery, note: Note) -> list[Finding]:
    """The file holds the tensors that its config makes on this base, in their shapes, and no others."""
    if not delivery.is_adapter:
        return []
    planned, stored = planned_adapter(delivery.files), stored_tensors(delivery.files.folder, ADAPTER)
    if planned.trouble:
        return [_unbuildable(delivery, planned)]
    if planned.unknown:
        note(f"its tensors cannot be planned without the weights of its base ({planned.unknown})")
        return []
    missing = sorted(planned.shapes.keys() - stored.keys())
    # Whole embeddings may be saved beside an adapter, where its vocabulary was resized.
    strange = sorted(name for name in stored.keys() - planned.shapes.keys() if not _of_the_vocabulary(name))
    if missing or strange:
        return [
            Finding(
                "tensors of the adapter have no place in its base, or places have no tensor",
                str(delivery.files.folder / ADAPTER),
                f"the {len(planned.shapes)} tensors that its config makes of {delivery.files.base_name}, such as "
                f"{min(planned.shapes, default='none')}",
                "; ".join(_listed(missing, "missing") + _listed(strange, "without a place")),
                "load it into the model class and library versions that it was saved from, and save it again; an "
                "adapter that is loaded so runs as its base, with a warning at most",
            )
        ]
    return [
        Finding(
            "a tensor of the adapter has another shape than its config plans",
            name,
            str(planned.shapes[name]),
            str(each.shape),
            "see that r, the base model and the library versions are those of the training",
        )
        for name, each in stored.items()
        if name in planned.shapes and each.shape != planned.shapes[name]
    ]


def the_files_hold_numbers(delivery: Delivery, note: Note) -> list[Finding]:
    """No tensor of the delivered files is empty, and none holds what is no number."""
    pattern = ADAPTER if delivery.is_adapter else "*.safetensors"
    if not any(delivery.files.folder.glob(pattern)):
        note("the weights are no safetensors: their tensors are not looked at one by one")
        return []
    stored = stored_tensors(delivery.files.folder, pattern)
    if not stored:
        return [
            Finding(
                "the weights file is empty",
                str(delivery.files.folder),
                "at least one tensor",
                f"{sum(path.stat().st_size for path in delivery.files.folder.glob('*.safetensors'))} bytes, no tensor",
                "gather the weights before saving, where they are sharded over processes, and save again",
            )
        ]
    broken = [name for name, each in stored.items() if not all(each.shape) or not _is_finite(each, name)]
    if not broken:
        return []
    return [
        Finding(
            "weights are no numbers",
            f"{delivery.files.folder}: {', '.join(broken[:SHOWN])}",
            "finite numbers in every tensor",
            f"{len(broken)} of {len(stored)} tensors are empty, or hold NaN or infinity",
            "take a checkpoint from before the loss was lost, or save from the process that holds the weights",
        )
    ]


def every_target_is_adapted(delivery: Delivery, note: Note) -> list[Finding]:  # noqa: ARG001
    """Every name in the adapter's config that chooses modules chooses one of the base at least."""
    if not delivery.is_adapter:
        return []
    config, planned = adapter_config(delivery.files.folder), planned_adapter(delivery.files)
    found = []
    for key in ("target_modules", "modules_to_save", "feedforward_modules", "target_parameters"):
        names = getattr(config, key, None) or ()
        if isinstance(names, str):
            continue  # one pattern that chose nothing has ended in an error of peft's
        patterns = sorted(names)
        lost = [name for name in patterns if not any(is_called(name, module) for module in planned.modules)]
        if lost:
            found.append(
                Finding(
                    "the adapter was asked for modules that its base does not have",
                    f"adapter_config.json: {key}",
                    f"each of {', '.join(map(str, patterns))} at the end of a name in {delivery.files.base_name}",
                    f"none is called {', '.join(lost)}, so it was left out without a word",
                    "correct the name and train again; all-linear takes every linear layer",
                )
            )
    return found


def _of_the_vocabulary(name: str) -> bool:
    return "emb" in name.lower() or "lm_head" in name or "wte" in name


def _is_finite(stored: Stored, name: str) -> bool:
    """Whole numbers and packed ones always are; eight bits have no such test of their own, and are widened."""
    if stored.dtype not in DTYPES and not stored.dtype.startswith("F8"):
        return True
    tensor = read_tensor(stored, name)
    return bool(torch.isfinite(tensor if stored.dtype in DTYPES else tensor.float()).all())


def _listed(names: list[str], what: str) -> list[str]:
    return [f"{len(names)} {what} ({', '.join(names[:SHOWN])})"] if names else []


def _unbuildable(delivery: Delivery, planned: Planned) -> Finding:
    return Finding(
        "the adapter cannot be put on its base",
        f"{delivery.files.name} on {delivery.files.base_name}",
        "a config that peft builds on this base",
        planned.trouble,
        "name the model that it was trained on with --base-model",
    )
