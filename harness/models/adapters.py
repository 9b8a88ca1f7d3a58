"""A PEFT adapter from its folder onto its base, and whether every tensor of it found its place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from harness.errors import ModelError
from harness.models.files import ModelFiles, first_line


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


def with_adapter(module: Any, files: ModelFiles) -> Any:
    """Put a PEFT adapter on its base and see that every tensor of it found its place."""
    from peft import get_peft_model, load_peft_weights, set_peft_model_state_dict

    _resize(module, files.vocab_rows)
    config = adapter_config(files.folder)
    config.inference_mode = True
    config.base_model_name_or_path = None  # peft warns of every base that it finds under another path
    try:
        adapted = get_peft_model(module, config)
        weights = load_peft_weights(str(files.folder), device=str(module.device))
        result = set_peft_model_state_dict(adapted, weights)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise ModelError(
            f"{files.name}: the adapter does not fit its base model ({first_line(error)}); "
            "name the model that it was trained on with --base-model."
        ) from None
    # Virtual tokens are put into their encoder, and peft then calls their tensors unexpected in the model.
    unexpected = [] if config.is_prompt_learning else sorted(result.unexpected_keys)
    unplaced = [name for name in unexpected if not _is_a_second_copy(name, weights)]
    if unplaced:
        raise ModelError(
            f"{files.name}: {len(unplaced)} of the adapter's {len(weights)} tensors have no place in the base model, "
            f"{unplaced[0]} first; name the model that it was trained on with --base-model."
        )
    return adapted.eval()


def _resize(module: Any, rows: int | None) -> None:
    """Give the base the rows that an adapter was saved with, where its training had resized the embedding."""
    if rows is not None and rows != int(module.get_input_embeddings().weight.shape[0]):
        module.resize_token_embeddings(rows, mean_resizing=False)  # all of them are in the adapter's file


def _is_a_second_copy(name: str, weights: Mapping[str, Any]) -> bool:
    """Whether peft has written a table twice, as it does with an embedding that was resized and trained whole."""
    wrappers = (".modules_to_save.", ".original_module.")
    return any(each in name and name.replace(each, ".") in weights for each in wrappers)
