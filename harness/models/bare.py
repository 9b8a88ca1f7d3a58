"""A model without its weights: its modules and the shapes of its tensors, from the configuration alone."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch


def bare_model(folder: Path) -> Any:
    """The model of a checkpoint's ``config.json`` on torch's meta device, in a moment and whatever its size.

    Whatever transformers raises of a configuration that it cannot build is passed on.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder))


def is_called(wanted: str, module: str) -> bool:
    """Whether peft takes a module for one of a list of names: each is a whole name or the end of one."""
    return module == wanted or module.endswith(f".{wanted}")
