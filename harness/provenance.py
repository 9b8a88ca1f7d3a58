"""Where a number comes from: digests of what was loaded, versions of what computed it."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "transformers", "trl", "peft", "datasets", "evaluate", "sacrebleu", "rouge-score", "pytest-sft")
WEIGHTS = ("*.safetensors", "*.bin", "*.pt", "*.pth")
TOKENIZER = ("tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab*", "merges.txt", "spiece.model")


def files_digest(folder: Path, patterns: Iterable[str]) -> str:
    """SHA-256 over names and contents of the matching files, as 16 hex digits; empty where none matches."""
    files = sorted({file for pattern in patterns for file in folder.glob(pattern) if file.is_file()})
    if not files:
        return ""
    total = hashlib.sha256()
    for file in files:
        total.update(file.name.encode())
        with file.open("rb") as stream:
            total.update(hashlib.file_digest(stream, "sha256").digest())
    return total.hexdigest()[:16]


def file_digest(path: Path) -> str:
    """SHA-256 of one file's content, as 16 hex digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]


def object_digest(value: Any) -> str:
    """SHA-256 of a JSON-like value in canonical form, as 16 hex digits."""
    canonical = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that a number depends on; the distribution's own included."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def commit(folder: Path) -> str:
    """Return the short git commit of a folder, with ``+changes`` where files differ from it; empty outside git."""
    git = shutil.which("git")
    if git is None:
        return ""
    described = subprocess.run(  # noqa: S603 - a fixed command line
        [git, "-C", str(folder), "describe", "--always", "--exclude=*", "--dirty=+changes"],
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip() if described.returncode == 0 else ""
