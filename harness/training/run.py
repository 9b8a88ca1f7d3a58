"""Train as a recipe says, once: the result is kept by content, and found again by it.

The folder is what ``--model`` takes: a checkpoint, or an adapter that names its base. ``training.json`` in it tells
what it was trained from and how it went.
"""

from __future__ import annotations

import json
import math
import resource
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from peft import PeftConfig, PeftModel
from transformers import TrainerCallback
from transformers.trainer_callback import PrinterCallback

from harness.chat.record import template_record
from harness.errors import InvalidRunError
from harness.once import built_once
from harness.provenance import TOKENIZER, WEIGHTS, file_digest, files_digest, object_digest, versions
from harness.references import TRAINING_MANIFEST
from harness.training.data import found_beside, without_bars
from harness.training.recipe import Recipe, old_names_between_libraries
from harness.training.trainer import Parts, Resolve, gather, trainer_of

if TYPE_CHECKING:
    from trl import SFTTrainer

COMPUTING = ("torch", "transformers", "trl", "peft")
"""The packages whose version can change what a training run makes of the same input."""

SHOWING = {"output_dir", "run_name", "report_to", "project", "disable_tqdm", "log_level", "log_level_replica"}
SHOWING |= {"logging_dir", "logging_first_step", "logging_nan_inf_filter", "logging_steps", "logging_strategy"}
"""Keys that change what is shown of a run and not what comes out of it."""

Progress = Callable[[int, int], None]
"""Told after every step: steps done, steps in all."""


@dataclass(frozen=True)
class Trained:
    """A trained model: its folder, the reference of the base it was tuned from, and the manifest of its training."""

    folder: Path
    base: str
    manifest: Mapping[str, Any]


def train(
    recipe: Recipe, resolve: Resolve, cache_dir: Path, progress: Progress | None = None, *, offline: bool = False
) -> Trained:
    """Train, or return what an earlier run of the same recipe, data, base and library versions has trained.

    The folder appears whole or not at all; processes that ask for the same one wait for the first.
    Raises InvalidRunError with the step where the loss is not a number; RecipeError, DataError and NetworkError as
    ``build_trainer`` does.
    """
    parts = gather(recipe, resolve, cache_dir / "trained", offline=offline)
    inputs = _inputs(parts)
    folder = built_once(
        cache_dir / "trained" / f"{recipe.path.stem}-{object_digest(inputs)}",
        lambda unfinished: _train_into(unfinished, parts, inputs, progress),
    )
    manifest = json.loads((folder / TRAINING_MANIFEST).read_text(encoding="utf-8"))
    return Trained(folder, recipe.model, manifest)


def _inputs(parts: Parts) -> dict[str, Any]:
    """Return everything that decides what comes out of training; its digest names the folder."""
    return {
        "recipe": {key: value for key, value in parts.recipe.values.items() if key not in SHOWING},
        "base_weights": files_digest(parts.base, WEIGHTS),
        "base_tokenizer": files_digest(parts.base, (*TOKENIZER, "chat_template*")),
        "base_config": files_digest(parts.base, ("config.json", "generation_config.json")),
        "template": _template_digest(parts),
        "data": object_digest([parts.rows, parts.evaluation_rows]),
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


def _train_into(folder: Path, parts: Parts, inputs: Mapping[str, Any], progress: Progress | None) -> None:
    trainer = trainer_of(parts)
    trainer.args.output_dir = str(folder)
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(_Watch(parts.recipe.path, progress))
    began = time.perf_counter()
    with old_names_between_libraries():
        trainer.train()
    seconds = time.perf_counter() - began
    with without_bars():
        _save(trainer, folder, parts.recipe.model)
    manifest = {"base": parts.recipe.model} | dict(inputs) | _course(trainer, len(parts.rows), seconds)
    manifest["trained"] = template_record(trainer.processing_class)
    (folder / TRAINING_MANIFEST).write_text(
        json.dumps(manifest, indent=2, ensure_ascii=False, default=str), encoding="utf-8"
    )


def _save(trainer: SFTTrainer, folder: Path, base: str) -> None:
    """Save as trl does; an adapter also gets its base's generation settings, and its base by reference."""
    trainer.save_model(str(folder))
    # A pickle of the settings, which the manifest tells in plain text.
    (folder / "training_args.bin").unlink(missing_ok=True)
    if isinstance(trainer.model, PeftModel):
        trainer.model.get_base_model().generation_config.save_pretrained(folder)
        # By its folder in a cache, the base would be lost on any other machine. Named after saving, because peft
        # asks the hub about the base that it saves an adapter of.
        config = PeftConfig.from_pretrained(str(folder))
        config.base_model_name_or_path = str(Path(base).resolve()) if Path(base).exists() else base
        config.save_pretrained(str(folder))


def _course(trainer: SFTTrainer, rows: int, seconds: float) -> dict[str, Any]:
    """Tell how the run went; tokens count one pass over the rows, tokens_per_second all passes, padding left out."""
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    seen = max((entry["num_tokens"] for entry in trainer.state.log_history if "num_tokens" in entry), default=0)
    data = trainer.train_dataset
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "seed": trainer.args.seed,
        "rows": rows,
        "rows_dropped": 0 if trainer.args.packing else rows - len(data),
        "tokens": sum(len(ids) for ids in data["input_ids"]),
        "supervised_tokens": sum(label != -100 for labels in data["labels"] for label in labels),
        "steps": trainer.state.global_step,
        "seconds": round(seconds, 2),
        "tokens_per_second": round(seen / seconds, 1),
        "losses": [round(loss, 5) for loss in losses],
        # macOS counts bytes where Linux counts KiB.
        "peak_rss_mib": round(peak / (2**20 if sys.platform == "darwin" else 2**10)),
        "parameters_trained": sum(p.numel() for p in trainer.model.parameters() if p.requires_grad),
        "threads": torch.get_num_threads(),
    }


class _Watch(TrainerCallback):  # type: ignore[misc]  # transformers has no types
    """Tells the progress, and stops a run whose loss is no number any more."""

    def __init__(self, recipe: Path, progress: Progress | None) -> None:
        self.recipe = recipe
        self.progress = progress

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any], **beside: Any) -> None:  # noqa: ARG002
        loss = logs.get("loss")
        if loss is not None and not math.isfinite(loss):
            raise InvalidRunError(
                f"{self.recipe}: the loss is {loss} at step {state.global_step} of {state.max_steps}; nothing was "
                "saved: lower learning_rate, clip gradients by max_grad_norm, or look at that step's rows."
            )

    def on_step_end(self, args: Any, state: Any, control: Any, **beside: Any) -> None:  # noqa: ARG002
        if self.progress is not None:
            self.progress(state.global_step, state.max_steps)
