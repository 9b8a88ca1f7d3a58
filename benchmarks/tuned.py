"""Models tuned for a comparison, and the samples that they are measured on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from starting import ROOT

from harness.models.fetch import Access
from harness.models.load import LoadOptions, load
from harness.models.local import LocalModel
from harness.once import default_cache
from harness.prose import python_prose
from harness.records import SampleSet
from harness.references import TRAINING_MANIFEST, parse_reference
from harness.samples import read_samples, subset


def trained(recipe: Path, folder: Path) -> Path:
    """Train in a process of its own, so that its peak of memory is its own; a folder that is there is taken."""
    if not folder.is_dir():
        command = [sys.executable, "-m", "harness", "train", str(recipe), "--output", str(folder)]
        subprocess.run(command, check=True)  # noqa: S603 - this interpreter, these recipes
    return folder


def manifest_of(folder: Path) -> dict[str, Any]:
    """Read what its training says of a model."""
    read: dict[str, Any] = json.loads((folder / TRAINING_MANIFEST).read_text(encoding="utf-8"))
    return read


def sample_sets(task: Path, limit: int | None) -> dict[str, SampleSet]:
    """Read the task's samples and the bundled ones, each cut to a seeded subset of ``limit``."""
    data = ROOT / "suites" / "data"
    files = {"task": task, "knowledge": data / "general_knowledge.jsonl", "chat": data / "quality.jsonl"}
    read = {name: read_samples(file) for name, file in files.items()} | {"prose": python_prose()}
    return {name: subset(each, limit, 0) for name, each in read.items()}


def loaded(ref: str) -> LocalModel:
    """Load a model as the suites load it by default."""
    return load(parse_reference(ref), LoadOptions(Access(default_cache())))
