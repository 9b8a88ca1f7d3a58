"""Sampled decoding whose every answer has random numbers of its own, so that no batch decides what it says.

transformers' ``generate(do_sample=True)`` draws a whole batch's tokens from one generator: which draw falls to which
row depends on the rows beside it, and an interrupted run could not go on to the same answers. Its filters for
temperature and top-p are used as they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from transformers import TemperatureLogitsWarper, TopPLogitsWarper

from harness.engine.decoding import Choose
from harness.errors import UsageError


@dataclass(frozen=True)
class Sampling:
    """How answers are drawn. ``temperature`` divides the logits; ``top_p`` is the probability mass that is kept.

    ``max_new_tokens`` cuts an answer off. Raises UsageError for values that no distribution has.
    """

    temperature: float = 0.8
    top_p: float = 0.95
    max_new_tokens: int = 256
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.temperature < float("inf"):
            raise UsageError(f"temperature is {self.temperature}, and must be above 0; near 0 the answers are all one.")
        if not 0 < self.top_p <= 1:
            raise UsageError(f"top_p is {self.top_p}, but it is a share of the probability: above 0, and 1 at most.")
        if self.max_new_tokens < 1:
            raise UsageError(f"max_new_tokens is {self.max_new_tokens}, but an answer has at least one token.")


def drawn(names: Sequence[str], sampling: Sampling) -> Choose:
    """Choose the tokens of answers that have these names; seed and name decide an answer's random numbers.

    A token is where the random number falls among the summed probabilities, in the order of the vocabulary. So where
    the arithmetic of another batch moves a probability by 1e-6, one token in about a million becomes another.
    """
    uniform = np.stack([_uniform(name, sampling) for name in names])
    temperature, top_p = TemperatureLogitsWarper(sampling.temperature), TopPLogitsWarper(sampling.top_p)

    def choose(logits: torch.Tensor, numbers: Sequence[int], places: Sequence[int]) -> list[int]:
        kept = top_p(None, temperature(None, logits.float()))
        summed = kept.softmax(-1, dtype=torch.float64).cumsum(-1)
        at = torch.tensor(uniform[list(numbers), list(places)], dtype=torch.float64, device=logits.device)
        newest: list[int] = torch.searchsorted(summed, at[:, None] * summed[:, -1:], right=True)[:, 0].tolist()
        return newest

    return choose


def _uniform(name: str, sampling: Sampling) -> np.ndarray:
    """A random number from 0 up to, not including, 1 for each token that an answer may have.

    Of 24 bits: their products with a sum of probabilities in double precision stay below that sum.
    """
    digest = hashlib.sha256(f"{sampling.seed}\n{name}".encode("utf-8", "surrogatepass")).digest()
    generator = np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "big")))
    return generator.random(sampling.max_new_tokens, dtype=np.float32)
