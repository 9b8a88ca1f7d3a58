"""The ceiling of any likelihood engine: the bare forward pass, at its best shape, over as many tokens as differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import takewhile
from typing import Any

import torch
from timing import Ways, quickest, stopwatch, trial

WIDTHS = (16, 32, 128, 512)
TOKENS_A_CALL = {"cpu": (512, 2048), "cuda": (8192, 32768)}
TRIED_TOKENS = {"cpu": 2048, "cuda": 131072}
"""What every shape is tried on before the quickest go into the rounds."""
BEST = 2
"""How many shapes go there: on a machine that does other work a trial does not always find the best one."""

_NAME = "ceiling: bare forward"

Shape = tuple[int, int]
"""Rows of a call and their width."""


def unique_tokens(rows: Iterable[Sequence[int]]) -> int:
    """How many tokens have to be computed if every shared opening is computed once: the nodes of the rows' prefix tree.

    Behind one another in their order as words in a dictionary, every row adds what it does not share with the last.
    """
    before: Sequence[int] = ()
    found = 0
    for row in sorted(rows):
        shared = takewhile(lambda pair: pair[0] == pair[1], zip(before, row, strict=False))
        found += len(row) - sum(1 for _ in shared)
        before = row
    return found


def bare_forwards(module: Any, tokens: int) -> Ways:
    """The quickest shapes to feed so many tokens in, by the names that a table gives them."""
    device = module.device.type
    shapes = [(size // width, width) for size in TOKENS_A_CALL[device] for width in WIDTHS]
    took = trial({shape: partial(_forward, module, TRIED_TOKENS[device], shape) for shape in shapes}, runs=2)
    best = sorted(shapes, key=took.__getitem__)[:BEST]
    return {_name(shape): stopwatch(partial(_forward, module, tokens, shape)) for shape in best}


def best_ceiling(times: Mapping[str, tuple[float, ...]]) -> dict[str, tuple[float, ...]]:
    """The times of all ways, of the ceiling's only the quickest."""
    ceilings = {way: each for way, each in times.items() if way.startswith(_NAME)}
    slower = set(ceilings) - {quickest(ceilings)}
    return {way: each for way, each in times.items() if way not in slower}


def _name(shape: Shape) -> str:
    return f"{_NAME}, {shape[0]} x {shape[1]}"


@torch.inference_mode()
def _forward(module: Any, tokens: int, shape: Shape) -> None:
    """Feed random ids in calls of one shape, and the rest in rows of its width and a shorter one."""
    rows, width = shape
    full, rest = divmod(tokens, rows * width)
    sizes = [(rows, width)] * full + [size for size in ((rest // width, width), (1, rest % width)) if all(size)]
    generator = torch.Generator().manual_seed(0)
    for size in sizes:
        ids = torch.randint(module.config.get_text_config().vocab_size, size, generator=generator)
        module(input_ids=ids.to(module.device), logits_to_keep=1, use_cache=False)
    if module.device.type == "cuda":
        torch.cuda.synchronize()
