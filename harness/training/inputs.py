"""What a training comes from: everything that decides what comes out of it, as digests that can be compared."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.provenance import TOKENIZER, WEIGHTS, file_digest, files_digest, object_digest, versions
from harness.training.data import found_beside
from harness.training.trainer import Parts

COMPUTING = ("torch", "transformers", "trl", "peft")
"""The packages whose version can change what a training run makes of the same input."""

SHOWING = {"output_dir", "run_name", "report_to", "project", "disable_tqdm", "log_level", "log_level_replica"}
SHOWING |= {"logging_dir", "logging_first_step", "logging_nan_inf_filter", "logging_steps", "logging_strategy"}
"""Keys that change what is shown of a run and not what comes out of it."""


def inputs_of(parts: Parts) -> dict[str, Any]:
    """Return everything that decides what comes out of training; its digest names the folder."""
    return {
        "recipe": {key: value for key, value in parts.recipe.values.items() if key not in SHOWING},
        "base_weights": files_digest(parts.base, WEIGHTS),
        "base_tokenizer": files_digest(parts.base, (*TOKENIZER, "chat_template*")),
        "base_config": files_digest(parts.base, ("config.json", "generation_config.json")),
        "template": _template_digest(parts),
        "data": object_digest([parts.rows, parts.evaluation_rows, parts.replay_rows, parts.ewc_rows]),
        "device": parts.training.device.type,
        "versions": {name: version for name, version in versions().items() if name in COMPUTING},
    }


def _template_digest(parts: Parts) -> str:
    if parts.tokenizer is not None:
        return object_digest(parts.tokenizer.chat_template)
    template = parts.training.chat_template_path
    path = found_beside(parts.recipe, template) if template else None
    if path is None:
        return template or ""
    return file_digest(path) if path.is_file() else files_digest(path, (*TOKENIZER, "chat_template*"))


def differing(record: Path, inputs: Mapping[str, Any]) -> list[str]:
    """Which of the inputs a record does not have; all of them where it cannot be read."""
    try:
        known = json.loads(record.read_text(encoding="utf-8"))
        return [name for name, value in inputs.items() if object_digest(known.get(name)) != object_digest(value)]
    except (OSError, ValueError, AttributeError):
        return list(inputs)
