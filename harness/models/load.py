"""From a model reference to a model in memory, with every doubt about its parts raised as one sentence."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM

from harness.errors import ModelError, ModelReferenceError
from harness.models.batches import Budget, Track, silently
from harness.models.fetch import Access
from harness.models.files import ModelFiles, first_line, read_files
from harness.models.local import LocalModel
from harness.models.weight_files import stored_dtypes
from harness.models.weights import OnDemand
from harness.provenance import WEIGHTS, files_digest
from harness.references import CAUTIOUS, ModelRef, Trust

TOKENS = {"cpu": 2048, "cuda": 32768}
"""Tokens a batch. On the CPU larger batches only spread out in memory; a GPU needs them to be busy."""


@dataclass(frozen=True)
class LoadOptions:
    """How to load: ``base`` overrides the adapter's own; without ``batch_size`` (rows) a token budget decides.

    A tokenizer without a chat template takes that of the tokenizer ``template_of``, where the two have one vocabulary.
    """

    access: Access
    base: ModelRef | None = None
    device: str = "auto"
    dtype: str = "auto"
    batch_size: int | None = None
    trust: Trust = CAUTIOUS
    template_of: Any = None
    track: Track = silently


def load(ref: ModelRef, options: LoadOptions) -> LocalModel:
    """The model of a reference, its weights to be read when it is first asked.

    Raises ModelError where the checkpoint's parts contradict each other, UsageError where one is not to be had.
    """
    files = read_files(ref, options.access, base=options.base, trust=options.trust, template_of=options.template_of)
    return with_weights(files, options)


def with_weights(files: ModelFiles, options: LoadOptions) -> LocalModel:
    """The model of these files. Reading its weights raises ModelError where they do not fit to the rest."""
    device = _device(options.device)
    whole = files.base or files.folder
    digests = {"weights": files_digest(whole, WEIGHTS)}
    adapter = None
    if files.base is not None:
        digests["adapter"] = files_digest(files.folder, WEIGHTS)
        adapter = adapter_config(files.folder)
    dtype = _dtype(options.dtype, device, files.config, whole)
    weights = OnDemand(
        config=files.config,
        device=device,
        dtype=dtype,
        virtual_tokens=int(adapter.num_virtual_tokens) if adapter is not None and adapter.is_prompt_learning else 0,
        read=lambda: _read(files, device, dtype, options.trust),
    )
    return LocalModel(
        name=files.name,
        weights=weights,
        tokenizer=files.tokenizer,
        stop_ids=files.stop_ids,
        budget=Budget(TOKENS.get(device.type, TOKENS["cuda"]), options.batch_size),
        notes=files.notes,
        digests=digests | dict(files.digests),
        track=options.track,
    )


def _read(files: ModelFiles, device: torch.device, dtype: torch.dtype, trust: Trust) -> Any:
    """Read the weights, and see that all parts fit together."""
    module = _module(files.base or files.folder, files.base_name or files.name, files.config, device, dtype, trust)
    if files.base is not None:
        _resize(module, files.vocab_rows)
        module = _with_adapter(module, files.folder, files.name)
    _check_vocabulary(files.name, module, files.tokenizer)
    return module


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


def _resize(module: Any, rows: int | None) -> None:
    """Give the base the rows that an adapter was saved with, where its training had resized the embedding."""
    if rows is not None and rows != int(module.get_input_embeddings().weight.shape[0]):
        module.resize_token_embeddings(rows, mean_resizing=False)  # all of them are in the adapter's file


def adapter_config(folder: Path) -> Any:
    """What an adapter's ``adapter_config.json`` says, as peft reads it; raises ModelError where it cannot."""
    from peft import PeftConfig

    try:
        return PeftConfig.from_pretrained(str(folder))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{folder / 'adapter_config.json'}: peft cannot read it ({type(error).__name__}: {first_line(error)}); "
            "save the adapter again, or install the version of peft that wrote it."
        ) from None


def _with_adapter(module: Any, folder: Path, name: str) -> Any:
    """Put a PEFT adapter on its base and see that every tensor of it found its place."""
    from peft import get_peft_model, load_peft_weights, set_peft_model_state_dict

    config = adapter_config(folder)
    config.inference_mode = True
    config.base_model_name_or_path = None  # peft warns of every base that it finds under another path
    try:
        adapted = get_peft_model(module, config)
        weights = load_peft_weights(str(folder), device=str(module.device))
        result = set_peft_model_state_dict(adapted, weights)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ModelError(
            f"{name}: the adapter does not fit its base model ({first_line(error)}); "
            "name the model that it was trained on with --base-model."
        ) from None
    # Virtual tokens are put into their encoder, and peft then calls their tensors unexpected in the model.
    unexpected = [] if config.is_prompt_learning else sorted(result.unexpected_keys)
    unplaced = [name for name in unexpected if not _is_a_second_copy(name, weights)]
    if unplaced:
        raise ModelError(
            f"{name}: {len(unplaced)} of the adapter's {len(weights)} tensors have no place in the base model, "
            f"{unplaced[0]} first; name the model that it was trained on with --base-model."
        )
    return adapted.eval()


def _is_a_second_copy(name: str, weights: Mapping[str, Any]) -> bool:
    """Whether peft has written a table twice, as it does with an embedding that was resized and trained whole."""
    wrappers = (".modules_to_save.", ".original_module.")
    return any(each in name and name.replace(each, ".") in weights for each in wrappers)


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
