"""Products of activations and weights on the CPU, by oneDNN.

torch sends them to MKL, which leaves AVX-512 unused on processors that are not Intel's: on an AMD EPYC oneDNN is twice
as fast from 16 rows on. Its rows come out the same to the last bit however many there are, one alone excepted; so no
answer depends on who else is in the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch.nn.functional import linear, pad
from torch.overrides import TorchFunctionMode

FEW, MANY = 16, 64
"""Numbers of rows are rounded up to multiples of these, the second one where rows are many."""


def fast_products(module: Any) -> AbstractContextManager[Any]:
    """A context in which a module computes its linear layers by oneDNN, where that serves; without gradients.

    The module itself stays as it is, so that others who use it see nothing of this.
    """
    serves = (
        module.device.type == "cpu"
        and module.dtype == torch.float32
        and torch.backends.cpu.get_cpu_capability() == "AVX512"
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )
    return _ByOneDnn() if serves else nullcontext()


class _ByOneDnn(TorchFunctionMode):
    def __torch_function__(
        self, func: Callable[..., Any], types: Iterable[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if func is linear and not kwargs and not torch.is_grad_enabled():
            return _product(*args)
        return func(*args, **(kwargs or {}))


def _product(inputs: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    if not (inputs.dtype == weight.dtype == torch.float32 and inputs.numel() and weight.is_contiguous()):
        return linear(inputs, weight, bias)
    flat = inputs.reshape(-1, inputs.shape[-1])
    found = _one_dnn(pad(flat, (0, 0, 0, _rounded(len(flat)) - len(flat))), weight, bias)[: len(flat)]
    return found.view(*inputs.shape[:-1], len(weight))


def _rounded(rows: int) -> int:
    """A number of rows that many others share: oneDNN keeps what it prepares for each number that it meets.

    A single row has a kernel of its own, whose last bits are other ones.
    """
    step = FEW if rows <= 8 * FEW else MANY
    return max(2, 1 << (rows - 1).bit_length()) if rows <= FEW else -(-rows // step) * step


def _one_dnn(inputs: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    found: torch.Tensor = torch.ops.mkldnn._linear_pointwise(inputs, weight, bias, "none", [], "")
    return found
