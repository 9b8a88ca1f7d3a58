"""The tensors of a checkpoint in its safetensors files, one at a time: a folder of gigabytes is never loaded whole."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import ModelError

if TYPE_CHECKING:
    import torch

DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
"""Names of safetensors' floating-point types, by those of torch; all others are quantised or whole numbers."""

LONGEST_HEADER = 100_000_000
"""Bytes; the safetensors format allows no longer one."""

SAMPLED = 64
"""Numbers of a sample of weights: enough that another model differs in some, few enough to be written down."""


@dataclass(frozen=True)
class Stored:
    """One tensor on disk: the file that holds it, its shape, and its dtype as safetensors calls it."""

    file: Path
    shape: tuple[int, ...]
    dtype: str


ADAPTER = "adapter_model.safetensors"
"""The one file that peft reads an adapter's tensors from, whatever else lies beside it."""


def stored_tensors(folder: Path, files: str = "*.safetensors") -> dict[str, Stored]:
    """Every tensor of a folder's safetensors files by name, from their headers alone; ``files`` is a pattern of names.

    Raises:
        ModelError: a file is cut off or damaged.

    """
    found = {}
    for path in sorted(folder.glob(files)):
        for name, entry in _header(path).items():
            if name != "__metadata__":
                found[name] = Stored(path, tuple(entry["shape"]), str(entry["dtype"]))
    return found


def mapped(index: Path) -> dict[str, str]:
    """The file of each tensor, as the index of a sharded checkpoint says.

    Raises:
        ModelError: the index cannot be read.

    """
    try:
        said = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        return {str(tensor): str(file) for tensor, file in said.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise ModelError(f"{index}: no index of weights (a weight_map of tensors to files); save it again.") from None


def stored_dtypes(folder: Path) -> set[str]:
    """The dtypes of a folder's matrices, by torch's names where these are floating-point."""
    return {DTYPES.get(each.dtype, each.dtype) for each in stored_tensors(folder).values() if len(each.shape) > 1}


def read_tensor(stored: Stored, name: str) -> torch.Tensor:
    """Read one tensor."""
    from safetensors import safe_open

    with safe_open(stored.file, framework="pt") as file:
        tensor: torch.Tensor = file.get_tensor(name)
        return tensor


def read_rows(stored: Stored, name: str, rows: list[int]) -> torch.Tensor:
    """Read some rows of a matrix, of shape (rows, columns), and nothing else of it."""
    import torch
    from safetensors import safe_open

    with safe_open(stored.file, framework="pt") as file:
        matrix = file.get_slice(name)
        return torch.stack([matrix[row] for row in rows])


def weights_sample(folder: Path) -> list[float]:
    """Numbers out of a checkpoint's matrices, always from the same places, by which its weights are known again.

    Another file layout or dtype changes them by no more than rounding does.
    """
    matrices = [(name, each) for name, each in sorted(stored_tensors(folder).items()) if len(each.shape) == 2]
    if not matrices:
        return []
    taken = []
    for number in range(SAMPLED):
        name, each = matrices[number * len(matrices) // SAMPLED]
        row = (number * 7919) % each.shape[0]  # a prime, so that places spread
        taken.append(float(read_rows(each, name, [row])[0, (number * 104729) % each.shape[1]]))
    return taken


def _header(path: Path) -> Mapping[str, Mapping[str, list[int]]]:
    if not path.exists():
        raise ModelError(f"{path}: a link to a file that is not there; copy the folder with what its links point to.")
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 0 < length <= min(LONGEST_HEADER, size - 8):
            raise ModelError(f"{path}: {size:,} bytes that are no safetensors file, or half of one; save it again.")
        try:
            header: dict[str, Mapping[str, list[int]]] = json.loads(file.read(length))
        except ValueError:
            raise ModelError(f"{path}: its safetensors header is damaged; save it again.") from None
    ends = max(_ends(header), default=0)
    if 8 + length + ends > size:
        raise ModelError(f"{path}: cut off after {size:,} of {8 + length + ends:,} bytes; copy or save it again.")
    return header


def _ends(header: Mapping[str, Mapping[str, list[int]]]) -> Iterator[int]:
    return (entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__")
