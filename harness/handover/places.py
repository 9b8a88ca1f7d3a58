"""The tensors of a whole model: whether each has its place in the class that loads it, and in the file it is in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from harness.findings import Note
from harness.handover.delivery import Delivery
from harness.loop.short_run import unsaid
from harness.models.files import ModelFiles, first_line
from harness.models.weight_files import mapped, read_tensor, stored_tensors
from harness.records import Finding

SHOWN = 3
WHOLE = "model.safetensors"
"""The file that transformers takes where it is there, whatever an index says beside it."""


@dataclass(frozen=True)
class Loaded:
    """What transformers says of a checkpoint that it loads without reading a weight.

    ``missing`` are weights of the model that no file holds, ``strange`` tensors that it leaves aside, ``misshapen``
    those of another shape. ``inner`` is the part of ``strange`` that was learned inside the model: in one of its
    numbered layers, or in a module that has weights itself. ``trouble`` is what it says where it cannot load it so.
    """

    missing: tuple[str, ...] = ()
    strange: frozenset[str] = frozenset()
    inner: tuple[str, ...] = ()
    misshapen: tuple[str, ...] = ()
    trouble: str = ""


def every_weight_has_its_place(delivery: Delivery, note: Note) -> list[Finding]:
    """The files hold every weight of the model that config.json describes, and none that belongs in it and is lost.

    What is stored beside a model (a head for another purpose, layers that predict further ahead) is no part of it.
    """
    if delivery.is_adapter:
        return []
    found = _loaded(delivery.files, delivery)
    if found.trouble:
        note(f"the weights cannot be held against the model's class without loading them ({found.trouble})")
        return []
    source = delivery.same_as or delivery.tuned_from
    inherited = _loaded(source, delivery).strange if source is not None else frozenset()
    # Where weights are missing too, whatever is left aside may be they under another name.
    lost = [name for name in (sorted(found.strange) if found.missing else found.inner) if name not in inherited]
    beside = sorted(found.strange - set(lost))
    if beside:
        note(f"{len(beside)} tensors are stored beside the model and not used by it, {beside[0]} first")
    if not (found.missing or found.misshapen or lost):
        return []
    kinds = {"missing": found.missing, "of another shape": found.misshapen, "without a place": lost}
    return [
        Finding(
            "the files hold other weights than the model that config.json describes",
            str(delivery.files.folder),
            "every weight of the model under its name, and none more in its layers",
            "; ".join(f"{len(names)} {kind} ({', '.join(names[:SHOWN])})" for kind, names in kinds.items() if names),
            "save the model itself with save_pretrained(): unwrapped (no module. or _orig_mod. before its names), with "
            "its adapter merged, and beside the config that it was trained with",
        )
    ]


def every_tensor_is_where_the_index_says(delivery: Delivery, note: Note) -> list[Finding]:  # noqa: ARG001
    """The index of a sharded model names the file of each tensor, and no second file holds another version of it."""
    folder = delivery.files.folder
    return [finding for index in sorted(folder.glob("*.safetensors.index.json")) for finding in _of_index(index)]


def _of_index(index: Path) -> Iterator[Finding]:
    shards: dict[str, set[str]] = {}
    for tensor, name in mapped(index).items():
        shards.setdefault(name, set()).add(tensor)
    held = {name: stored_tensors(index.parent, name).keys() for name in shards if (index.parent / name).is_file()}
    wrong = sorted(tensor for name, here in held.items() for tensor in shards[name] ^ set(here))
    if wrong:
        yield Finding(
            "the index of the weights and the files that it names disagree",
            str(index),
            "each tensor in the file that the index gives for it, and no others",
            f"{len(wrong)} tensors are not, {', '.join(wrong[:SHOWN])}",
            "take all files of one save: remove the weights from the folder, and save or copy them again",
        )
    other = _first_other(index, shards) if index.name == f"{WHOLE}.index.json" else None
    if other is not None:
        yield Finding(
            "the folder holds two versions of the weights",
            f"{index.parent}: {WHOLE}, beside the files of {index.name}",
            "one of them, or the same numbers in both",
            f"other numbers in {other}, and which version is loaded depends on the library",
            "remove the version of the earlier save",
        )


def _first_other(index: Path, shards: dict[str, set[str]]) -> str | None:
    whole = stored_tensors(index.parent, WHOLE)
    for name, tensors in shards.items():
        parts = stored_tensors(index.parent, name) if name != WHOLE else {}
        for tensor in sorted(tensors & whole.keys() & parts.keys()):
            if not torch.equal(read_tensor(whole[tensor], tensor), read_tensor(parts[tensor], tensor)):
                return tensor
    return None


def _loaded(files: ModelFiles, delivery: Delivery) -> Loaded:
    folder = files.base or files.folder
    trust = delivery.loading.trust
    return _loads(folder, (folder / "config.json").stat().st_mtime, trust.remote_code, trust.pickle)


@lru_cache(maxsize=4)
def _loads(folder: Path, changed: float, remote_code: bool, pickle: bool) -> Loaded:  # noqa: ARG001 - read again then
    from transformers import AutoModelForCausalLM

    try:
        with unsaid():
            module, said = AutoModelForCausalLM.from_pretrained(
                folder,
                device_map="meta",
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                use_safetensors=None if pickle else True,
                trust_remote_code=remote_code,
            )
    except Exception as error:  # quantised and remote formats raise what they like; loading them tells of it elsewhere
        return Loaded(trouble=first_line(error))
    strange, modules = frozenset(said["unexpected_keys"]), dict(module.named_modules())
    inner = {name for name in strange if _belongs_inside(name, modules)}
    return Loaded(
        missing=tuple(sorted(said["missing_keys"])),
        strange=strange,
        inner=tuple(sorted(inner - _constants(inner, folder))),
        misshapen=tuple(sorted(name for name, *_ in said["mismatched_keys"])),
    )


def _belongs_inside(name: str, modules: dict[str, Any]) -> bool:
    parts = name.split(".")
    above = [modules[path] for path in (".".join(parts[:end]) for end in range(1, len(parts))) if path in modules]
    in_a_layer = any(isinstance(module, torch.nn.ModuleList) for module in above)
    return in_a_layer or any(True for module in above[-1:] for _ in module.parameters(recurse=False))


def _constants(names: set[str], folder: Path) -> set[str]:
    """Those of which every layer holds the same numbers: masks and frequencies that older libraries saved."""
    kinds: dict[str, list[str]] = {}
    for name in names:
        kinds.setdefault(re.sub(r"\d+", "*", name), []).append(name)
    stored, found = stored_tensors(folder), set[str]()
    for alike in kinds.values():
        held = [key for key in stored if any(key.endswith(name) or name.endswith(key) for name in alike)]
        layers = [read_tensor(stored[key], key) for key in held]
        if len(layers) > 1 and all(torch.equal(layer, layers[0]) for layer in layers):
            found.update(alike)
    return found
