"""What deliveries of the zoo are built of: tiny checkpoints and adapters, saved as a user saves them."""

from __future__ import annotations

import functools
import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, GenerationConfig, LlamaConfig, LlamaForCausalLM

from harness.chat.control import control_ids
from harness.handover.delivery import Delivery
from harness.inspection.stand_in import nowhere, quiet
from harness.models.fetch import Access
from harness.models.files import ModelFiles, read_files
from harness.models.load import LoadOptions
from harness.references import parse_reference
from harness.training.data import without_bars
from harness.zoo.parts import CHATML, tokenizer_with

Tensors = dict[str, torch.Tensor]


def place(name: str) -> Path:
    """A folder of its own, which goes when Python ends."""
    return Path(nowhere()) / name


@functools.cache
def base(
    *,
    tied: bool = False,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    width: int = 32,
    biases: bool = False,
) -> Path:
    """A random Llama of two layers with its tokenizer, saved."""
    tokenizer = tokenizer_with(CHATML)
    stops = sorted(control_ids(tokenizer))
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=width,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        initializer_range=0.25,
        tie_word_embeddings=tied,
        attention_bias=biases,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config).to(dtype)
    model.generation_config = GenerationConfig(eos_token_id=stops, pad_token_id=tokenizer.pad_token_id)
    folder = place("base")
    with without_bars():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    return folder


def adapted(on: Path, *, strength: float = 0.05, config: Any = None, **options: Any) -> PeftModel:
    """A base with LoRA as if it was trained: no matrix is zero, of about this size."""
    with without_bars(), quiet(), warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        torch.manual_seed(1)
        whole = AutoModelForCausalLM.from_pretrained(on, dtype="auto")
        lora = {"task_type": "CAUSAL_LM", "target_modules": ["q_proj", "v_proj"], "r": 4, "lora_alpha": 8} | options
        model = get_peft_model(whole, config or LoraConfig(**lora))
        for name, weight in model.named_parameters():
            if weight.requires_grad and "lora_A" not in name:
                weight.data += strength * torch.randn_like(weight)
    return model


def saved(model: PeftModel, on: Path, **manifest: Any) -> Path:
    """The adapter's folder, with its base by path; ``manifest`` is what the training says of it."""
    folder = place("adapter")
    model.peft_config["default"].base_model_name_or_path = str(on)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save_pretrained(str(folder), save_embedding_layers=False)
    if manifest:
        (folder / "training.json").write_text(json.dumps(manifest), encoding="utf-8")
    return folder


def merged(model: PeftModel, on: Path, change: Callable[[Any], None] = lambda _: None) -> Path:
    """The merged checkpoint's folder, with the tokenizer of the base; ``change`` is made before saving."""
    folder = place("merged")
    shutil.copytree(on, folder, ignore=shutil.ignore_patterns("model*", "config.json"))
    with without_bars(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = model.merge_and_unload()
        change(whole)
        whole.save_pretrained(folder)
    return folder


def copied(folder: Path, change: Callable[[Path], None]) -> Path:
    """A copy of a folder in which something is changed."""
    target = place(folder.name)
    shutil.copytree(folder, target)
    change(target)
    return target


def tensors_changed(name: str, change: Callable[[Tensors], Tensors]) -> Callable[[Path], None]:
    """A change of the tensors in one safetensors file of a folder."""

    def apply(folder: Path) -> None:
        path = folder / name
        tensors = change({key: value.clone() for key, value in load_file(path).items()})
        save_file(tensors, path, metadata={"format": "pt"})

    return apply


def json_changed(name: str, **values: Any) -> Callable[[Path], None]:
    """A change of keys in one JSON file of a folder."""

    def apply(folder: Path) -> None:
        path = folder / name
        content = json.loads(path.read_text(encoding="utf-8")) | values
        path.write_text(json.dumps(content), encoding="utf-8")

    return apply


def files_of(folder: Path) -> ModelFiles:
    """A folder as ``--model`` finds it."""
    return read_files(parse_reference(str(folder)), Access(Path(nowhere()), offline=True))


def delivered(folder: Path, *, same_as: Path | None = None, tuned_from: Path | None = None, **facts: Any) -> Delivery:
    """A folder to hand over, beside what it was made from."""
    return Delivery(
        files_of(folder),
        LoadOptions(Access(Path(nowhere()), offline=True), device="cpu"),
        same_as=files_of(same_as) if same_as else None,
        tuned_from=files_of(tuned_from) if tuned_from else None,
        **facts,
    )
