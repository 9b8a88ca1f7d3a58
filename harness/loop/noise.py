"""Noise on embeddings (NEFTune): as wide as the paper says, there when a training step begins, and gone in evaluation.

Each entry is drawn evenly between plus and minus ``alpha / sqrt(L d)``, for a padded length of ``L`` tokens and
embeddings of ``d`` dimensions (Jain et al. 2023, algorithm 1).
"""

from __future__ import annotations

import copy
import math
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from harness.findings import Note
from harness.inspection.loss_run import in_float32
from harness.loop.looked_at import Loop
from harness.loop.short_run import short_run
from harness.records import Finding

TOKENS, DRAWS = 64, 200_000
"""Length of the rows that are looked at, and how many numbers are drawn: their spread is then known to 0.2 %."""

WIDTH, SPREAD = (0.95, 1.001), 0.02
"""The widest draw as a share of the paper's width, and how far the standard deviation may be from that of a uniform
draw of this width. Of 200,000 draws the widest reaches 0.9999 of it and the deviation agrees within 0.005."""


@dataclass(frozen=True)
class Noise:
    """What embeddings of ``tokens`` tokens and ``size`` dimensions differ by from one pass to another in a mode.

    ``widest`` is the largest absolute draw and ``deviation`` the standard deviation, in training mode; ``evaluation``
    the largest difference of two passes in evaluation mode.
    """

    tokens: int
    size: int
    widest: float
    deviation: float
    evaluation: float

    @property
    def alpha(self) -> float:
        """The factor that noise of this width has by the paper's formula."""
        return self.widest * math.sqrt(self.tokens * self.size)

    @property
    def even(self) -> bool:
        """Whether the deviation is that of an even draw of this width."""
        return abs(self.deviation * math.sqrt(3) / max(self.widest, 1e-30) - 1) <= SPREAD


def noise_on_embeddings_has_the_papers_scale(loop: Loop, note: Note) -> list[Finding]:
    """Where noise is asked for, a training step has it, of that scale; where it is not, there is none to speak of."""
    trainer: Any = loop.trainer
    asked = _asked(loop)
    if asked is None:
        found = noise_of(trainer.model)
        if found.widest > 0 and not found.evaluation > 0:
            note(
                f"embeddings are noisy in training, as by neftune_noise_alpha={found.alpha:.3g}, which no argument "
                "asks for"
            )
        return []
    begun = _at_the_first_step(trainer)
    if begun is None:
        note("train() begins no step that a callback is told of, so the noise in it cannot be looked at")
        return []
    return _judged(begun, asked, note)


def _judged(found: Noise, asked: float, note: Note) -> list[Finding]:
    where = f"the input embeddings, at the first step of train(), for {found.tokens} tokens of {found.size} dimensions"
    expected = (
        f"an even draw of up to {asked / math.sqrt(found.tokens * found.size):.5f} (neftune_noise_alpha={asked:g})"
    )
    if found.evaluation > 0:
        return [
            Finding(
                "noise on the embeddings stays in evaluation",
                where,
                "none in evaluation mode",
                f"up to {found.evaluation:.5f}",
                "add the noise only where module.training is true",
            )
        ]
    if not found.widest > 0:
        return [
            Finding(
                "noise on the embeddings is asked for and is not there",
                where,
                expected,
                "none",
                "pass neftune_noise_alpha in the trainer's arguments, and see that train() is not replaced by a loop "
                "that attaches no noise",
            )
        ]
    share = found.alpha / asked
    if WIDTH[0] <= share <= WIDTH[1] and found.even:
        note(f"noise on the embeddings is {share:.4f} times as wide as the paper's")
        return []
    return [
        Finding(
            "noise on the embeddings has another scale than the paper's",
            where,
            expected,
            f"up to {found.widest:.5f}, {share:.3f} times that" + ("" if found.even else ", and not drawn evenly"),
            "divide alpha by the square root of length times dimensions, once, and attach one hook",
        )
    ]


def _asked(loop: Loop) -> float | None:
    said = [getattr(loop.trainer.args, "neftune_noise_alpha", None)]
    said += [loop.recipe.values.get("neftune_noise_alpha")] if loop.recipe is not None else []
    return next((float(each) for each in said if each is not None and float(each) > 0), None)


class _Look(TrainerCallback):  # type: ignore[misc]  # transformers has no types
    """Looks at the embeddings when a step begins, and tells what it sees; what it kept itself would be put back."""

    def __init__(self, tell: Callable[[Noise], None]) -> None:
        self.tell = tell

    def on_step_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:  # noqa: ARG002
        self.tell(noise_of(model))


def _at_the_first_step(trainer: Any) -> Noise | None:
    """The noise as ``train()`` itself sets it up, for a step of a single row."""
    seen: list[Noise] = []
    look, args = _Look(seen.append), trainer.args
    trainer.add_callback(look)
    trainer.args = copy.copy(args)
    trainer.args.per_device_train_batch_size = trainer.args.gradient_accumulation_steps = 1
    try:
        with tempfile.TemporaryDirectory() as scratch:
            short_run(trainer, 1, Path(scratch))
    finally:
        trainer.args = args
        trainer.remove_callback(look)
    return seen[0] if seen else None


def noise_of(model: torch.nn.Module) -> Noise:
    """Pass the same ids through the input embeddings in training and in evaluation mode; chance is as it was after."""
    embeddings: Any = model.get_input_embeddings()  # type: ignore[operator]  # a method of transformers' models
    weight = next(embeddings.parameters())
    size = int(weight.shape[-1])
    ids = (torch.arange(TOKENS, device=weight.device) % len(weight)).expand(max(1, DRAWS // (TOKENS * size)), TOKENS)
    devices = [weight.device] if weight.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), _modes_kept(embeddings), in_float32(embeddings), torch.no_grad():
        torch.manual_seed(0)
        embeddings.eval()
        still, again = embeddings(ids), embeddings(ids)
        embeddings.train()
        drawn = (embeddings(ids) - still).double()
    # Adding and taking away again rounds in the last bit of the embedding, which is not noise.
    rounding = 1e-6 * float(still.abs().max())
    widest, evaluation = float(drawn.abs().max()), float((again - still).abs().max())
    return Noise(TOKENS, int(still.shape[-1]), widest if widest > rounding else 0.0, float(drawn.std()), evaluation)


@contextmanager
def _modes_kept(module: torch.nn.Module) -> Iterator[None]:
    kept = [(each, each.training) for each in module.modules()]
    try:
        yield
    finally:
        for each, training in kept:
            each.training = training
