"""How much memory a base takes alone, with an adapter on it, and beside a whole second model."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import items
import torch
from own_process import in_own_process
from showing import Results
from tuned import loaded

from harness.metrics import acc
from harness.models.fetch import Access
from harness.models.load import LoadOptions, load
from harness.models.resident import Residents
from harness.once import default_cache
from harness.references import parse_reference

QUESTIONS = 24


def memory(model: str, repeats: int) -> Results:
    """The peak of a process that scores the same questions with one model, or with one after the other."""
    with tempfile.TemporaryDirectory() as folder:
        in_own_process(_make_adapter, model, Path(folder))
        asked = {"base alone": [model], "base and LoRA adapter": [model, folder], "two whole models": [model, model]}
        peaks = {
            name: [in_own_process(_scored, refs, model, name.startswith("two"))[1] for _ in range(repeats)]
            for name, refs in asked.items()
        }
    alone = min(peaks["base alone"])
    rows = [(name, f"{max(found):,}", f"{max(found) / alone:.2f}x") for name, found in peaks.items()]
    did = f"acc of {QUESTIONS} zero-shot questions by each model of a process, {model}; all that it imports is counted"
    return Results(("in memory", "peak MiB", "of the base alone"), rows, [("memory", did)], names=1)


def _make_adapter(model: str, folder: Path) -> None:
    """A LoRA adapter that changes what the model says, as none does before its training."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    config = LoraConfig(r=16, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
    get_peft_model(loaded(model).module, config).save_pretrained(folder)


def _scored(refs: Sequence[str], base: str, apart: bool) -> list[float]:
    """Ask one model after the other, all of them resident; ``apart`` gives every one weights of its own."""
    options = LoadOptions(Access(default_cache()), base=parse_reference(base), residents=None if apart else Residents())
    models = [load(parse_reference(ref), options if ref != base else replace(options, base=None)) for ref in refs]
    return [acc(model, items.zero_shot(QUESTIONS)).value for model in models]
