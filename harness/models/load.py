"""From a model reference to a model in memory, with every doubt about its parts raised as one sentence."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM

from harness.engine.batches import Budget, Track, silently
from harness.errors import ModelError, ModelReferenceError
from harness.models.adapters import adapter_config, with_adapter
from harness.models.asked import Kept, who_answers
from harness.models.fetch import Access
from harness.models.files import ModelFiles, first_line, read_files
from harness.models.local import LocalModel
from harness.models.memory import needed_bytes
from harness.models.resident import Residents, Whole
from harness.models.weight_files import stored_dtypes
from harness.models.weights import OnDemand
from harness.provenance import WEIGHTS, files_digest
from harness.references import CAUTIOUS, ModelRef, Trust
from harness.store import Answers

A_THREAD, A_GPU = 256, 32768
"""Tokens of a batch. On the CPU larger batches only spread out in memory; a GPU needs them to be busy."""

CONFIGS, ADAPTER_CONFIGS = ("config.json", "generation_config.json", "*.py"), ("adapter_config.json",)
"""Files beside the weights that decide what is computed with them."""


@dataclass(frozen=True)
class LoadOptions:
    """How to load: ``base`` overrides the adapter's own; without ``batch_size`` (rows) a token budget decides.

    A tokenizer without a chat template takes that of the tokenizer ``template_of``, where the two have one vocabulary.
    ``answers`` keeps what the model has answered, where files of a known content say all that decides its answers.
    Models of the same ``residents`` are in memory once, and nobody may change them. Without, or with ``own``, a model's
    weights are its owner's alone.
    """

    access: Access
    base: ModelRef | None = None
    device: str = "auto"
    dtype: str = "auto"
    batch_size: int | None = None
    trust: Trust = CAUTIOUS
    template_of: Any = None
    residents: Residents | None = None
    own: bool = False
    track: Track = silently
    answers: Answers | None = None


def load(ref: ModelRef, options: LoadOptions) -> LocalModel:
    """The model of a reference, its weights to be read when it is first asked.

    Raises ModelError where the checkpoint's parts contradict each other, UsageError where one is not to be had.
    """
    files = read_files(ref, options.access, base=options.base, trust=options.trust, template_of=options.template_of)
    return with_weights(files, options)


def with_weights(files: ModelFiles, options: LoadOptions) -> LocalModel:
    """The model of these files. Reading its weights raises ModelError where they do not fit to the rest."""
    folder = files.base or files.folder
    digests = {"weights": files_digest(folder, WEIGHTS)}
    if files.base is not None:
        digests["adapter"] = files_digest(files.folder, WEIGHTS)
    weights = _weights(files, options, digests)
    tokens = A_THREAD * torch.get_num_threads() if weights.device.type == "cpu" else A_GPU
    model = LocalModel(
        name=files.name,
        weights=weights,
        tokenizer=files.tokenizer,
        stop_ids=files.stop_ids,
        budget=Budget(tokens, options.batch_size),
        notes=files.notes,
        digests=digests | dict(files.digests),
        track=options.track,
    )
    # Code that a checkpoint brings may be fetched from elsewhere, and then no file here tells what it computes; an own
    # copy may be changed after its files were read.
    told_by_files = digests["weights"] and not options.trust.remote_code and not options.own
    if options.answers is not None and told_by_files:
        by = who_answers([folder, files.folder], model.digests, weights.device.type, model.dtype)
        model.kept = Kept(options.answers, by)
    return model


def _weights(files: ModelFiles, options: LoadOptions, digests: Mapping[str, str]) -> OnDemand:
    """The weights of these files, nothing of which is read yet but an adapter's config."""
    folder, name, device = files.base or files.folder, files.base_name or files.name, _device(options.device)
    dtype = _dtype(options.dtype, device, files.config, folder)
    adapter = None if files.base is None else adapter_config(files.folder)
    residents, own = options.residents or Residents(), options.own or options.residents is None
    whole = Whole(
        key=(digests["weights"] or str(folder), files_digest(folder, CONFIGS), str(device), str(dtype)),
        name=name,
        needs=lambda: needed_bytes(folder, dtype),
        device=device,
        read=lambda: _module(folder, name, files.config, device, dtype, options.trust),
    )
    return OnDemand(
        config=files.config,
        generation_config=files.generation_config,
        device=device,
        dtype=dtype,
        virtual_tokens=int(adapter.num_virtual_tokens) if adapter is not None and adapter.is_prompt_learning else 0,
        read=_own_copy(whole, files, residents) if own else _resident(residents, whole, files, digests),
        check=lambda module: _check_vocabulary(files.name, module, files.tokenizer),
        look_back=lambda: None if own else residents.before(whole),
    )


def _own_copy(whole: Whole, files: ModelFiles, residents: Residents) -> Callable[[], Any]:
    """Weights that nobody else uses, so that their owner may change them; read once, and residents make room."""

    def read() -> Any:
        residents.make_room(replace(whole, name=f"a copy of {whole.name}"))
        return whole.read() if files.base is None else with_adapter(whole.read(), files)

    return cache(read)


def _resident(residents: Residents, whole: Whole, files: ModelFiles, digests: Mapping[str, str]) -> Callable[[], Any]:
    """Weights that are in memory once for all that use them."""
    if files.base is None:
        return lambda: residents.module(whole)
    key = (*whole.key, digests["adapter"], files_digest(files.folder, ADAPTER_CONFIGS), str(files.vocab_rows))
    return lambda: residents.adapted(whole, key, lambda module: with_adapter(module, files))


def _device(text: str) -> torch.device:
    if text == "auto":
        text = "cuda" if torch.cuda.is_available() else "cpu"
    if text.startswith("cuda") and not torch.cuda.is_available():
        raise ModelReferenceError(f"--device {text}: torch sees no GPU here; use --device cpu.")
    try:
        device = torch.device(text)
    except RuntimeError:
        raise ModelReferenceError(f"--device {text}: torch knows no such device; use auto, cpu or cuda.") from None
    return torch.device(device.type, 0) if device.index is None and device.type != "cpu" else device


def _dtype(text: str, device: torch.device, config: Any, folder: Path) -> torch.dtype:
    """In ``auto``, the CPU computes in float32 (half precision is slower there and noisier), a GPU as stored."""
    if text != "auto":
        dtype = getattr(torch, text)
    elif device.type == "cpu":
        dtype = torch.float32
    else:
        dtype = _stored_dtype(config, folder)
    if not isinstance(dtype, torch.dtype):
        raise ModelReferenceError(f"--dtype {text}: use auto, float32, float16 or bfloat16.")
    return dtype


def _stored_dtype(config: Any, folder: Path) -> torch.dtype:
    """What the config says, as transformers takes it; else the finest that any matrix is stored in."""
    stated = getattr(config, "dtype", None)
    if isinstance(stated, torch.dtype):
        return stated
    stored = {getattr(torch, name, None) for name in stored_dtypes(folder)}
    floating = [dtype for dtype in stored if isinstance(dtype, torch.dtype) and dtype.is_floating_point]
    return max(floating, key=lambda dtype: dtype.itemsize, default=torch.float32)


def _module(folder: Path, name: str, config: Any, device: torch.device, dtype: torch.dtype, trust: Trust) -> Any:
    try:
        # Without an attention kernel of their own some models fall back to eager; sdpa is exact and everywhere.
        module, info = AutoModelForCausalLM.from_pretrained(
            folder,
            config=copy.deepcopy(config),  # loading writes into it
            dtype=dtype,
            use_safetensors=None if trust.pickle else True,
            trust_remote_code=trust.remote_code,
            output_loading_info=True,
        )
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ModelError(
            f"{name}: transformers cannot load the weights ({first_line(error)}); save it again."
        ) from None
    missing = sorted(info["missing_keys"]) + [key for key, *_ in info.get("mismatched_keys", ())]
    if missing:
        raise ModelError(
            f"{name}: {len(missing)} weights are not in the checkpoint or have another shape, {missing[0]} first; "
            "they would be random numbers, so the checkpoint is incomplete: save it again."
        )
    return module.to(device).eval()


def _check_vocabulary(name: str, module: Any, tokenizer: Any) -> None:
    """Every id of the tokenizer needs a row of the embedding; more rows than ids is usual padding."""
    rows = int(module.get_input_embeddings().weight.shape[0])
    highest = max(tokenizer.get_vocab().values())
    if highest >= rows:
        token = tokenizer.convert_ids_to_tokens(highest)
        raise ModelError(
            f"{name}: the tokenizer does not fit the model: its highest id is {highest} ({token!r}), the embedding has "
            f"{rows} rows; use the tokenizer that the model was trained with, or resize_token_embeddings()."
        )
