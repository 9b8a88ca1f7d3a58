"""An adapter as its config plans it on its base: built without weights, so that files can be held against it."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch

from harness.models.adapters import adapter_config
from harness.models.bare import bare_model
from harness.models.files import ModelFiles, first_line
from harness.training.manifest import adapter_scaling


@dataclass(frozen=True)
class Planned:
    """An adapter as its config plans it on this base, without weights.

    ``shapes`` holds the tensors that saving it writes; ``scaling`` the factor of each adapted module, where the method
    has one; ``modules`` the names of all modules of the base, and ``trouble`` what peft says where it cannot build it.
    ``unknown`` says why there is no plan: some methods read the base's weights to make theirs.
    """

    shapes: Mapping[str, tuple[int, ...]]
    scaling: Mapping[str, float]
    modules: frozenset[str]
    trouble: str = ""
    unknown: str = ""


def planned_adapter(files: ModelFiles) -> Planned:
    """The adapter as its config plans it on its base, built without weights."""
    assert files.base is not None
    return _planned(files.folder, files.base, (files.folder / "adapter_config.json").stat().st_mtime, files.vocab_rows)


@lru_cache(maxsize=4)
def _planned(folder: Path, base: Path, changed: float, rows: int | None) -> Planned:  # noqa: ARG001 - read again then
    from peft import get_peft_model, get_peft_model_state_dict

    config = adapter_config(folder)
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = bare_model(base)
        if rows is not None:
            whole.resize_token_embeddings(rows, mean_resizing=False)
        modules = frozenset(name for name, _ in (*whole.named_modules(), *whole.named_parameters()))
        try:
            adapted = get_peft_model(whole, config)
            saved = get_peft_model_state_dict(adapted, save_embedding_layers=False)
        except (ValueError, KeyError, AttributeError, TypeError, re.error) as error:
            return Planned({}, {}, modules, trouble=first_line(error))
        except RuntimeError as error:  # torch's, of a tensor without numbers that a method wants to read
            return Planned({}, {}, modules, unknown=first_line(error))
    return Planned({name: tuple(each.shape) for name, each in saved.items()}, adapter_scaling(adapted), modules)
