"""Label smoothing: the loss pulls towards the next token, and evenly towards all others by as much as was asked.

Read from the gradient on the logits of a position, which for a smoothed negative log-likelihood is ``w (p - q)``: ``p``
what the model expects, ``q`` the factor's share spread evenly over the vocabulary and the rest on the target (Szegedy
et al. 2016, section 7; transformers' ``LabelSmoother``). Entries off the target lie on one line over ``p``, whose slope
is the weight; how far the target lies below it tells what is left for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from harness.findings import Note
from harness.inspection.batches import IGNORED, Batch
from harness.inspection.loss_run import computed_loss, heard_logits
from harness.inspection.teaching import FORM, Taught, carries_weights, what_is_wrong
from harness.loop.few_rows import Row, few_rows
from harness.loop.gradients import as_it_trains
from harness.loop.looked_at import Loop
from harness.records import Finding

ROWS = 2
CLOSE = 0.02
"""Allowed relative difference of the factor; some spread it over all tokens but the target, which changes little."""

UNSURE = 1e-3
"""How unlike the probabilities off the target must be for a line through them: where a model is certain, float32 has
no digits left for it, and nothing is said of the position."""


@dataclass(frozen=True)
class _Read:
    """What is taught at each position, and the largest and the least share that was taken from a target for others.

    ``beside`` counts positions that only the even part of the loss teaches.
    """

    taught: Taught
    most: float
    least: float
    beside: int


def the_training_loss_is_the_reference(loop: Loop, note: Note) -> list[Finding]:
    """Where labels are smoothed: shifted once, -100 ignored, every token alike, and by the factor that was asked for.

    Without smoothing the mask suite says so of the plain loss.
    """
    trainer: Any = loop.trainer
    factor = float(trainer.args.label_smoothing_factor)
    if factor == 0:
        note("no label smoothing; the plain loss is looked at by the mask suite")
        return []
    if getattr(trainer.args, "loss_type", "nll") != "nll":
        note(f"label_smoothing_factor={factor:g} has no part in loss_type={trainer.args.loss_type!r}")
        return []
    for row in few_rows(loop, ROWS):
        read = _read(loop, row)
        if read is None or not read.taught.readable:
            note(
                "this loss is no smoothed likelihood of single tokens, or the model is too certain to read it from, so "
                "it is not held against its definition"
            )
            return []
        findings = _wrong(loop, row, read, factor)
        if findings:
            return findings
    return []


def _wrong(loop: Loop, row: Row, read: _Read, factor: float) -> list[Finding]:
    place = f"prepared row {row.number}, of {row.targets} learned tokens"
    if read.beside:
        return [
            Finding(
                "label smoothing reaches tokens whose label is -100",
                place,
                "no effect of tokens that are ignored",
                f"{read.beside} of them are pulled towards all tokens evenly",
                "leave ignored tokens out of both parts of the loss, and of the number that it is divided by",
            )
        ]
    batch = Batch(row.inputs, (row.prepared,), row.number)
    findings = what_is_wrong(loop.seen, batch, read.taught)
    if findings:
        return findings
    if max(abs(read.most - factor), abs(read.least - factor)) > CLOSE * factor:
        measured = f"{read.least:.4f}" + (f" to {read.most:.4f}" if read.most - read.least > CLOSE * factor else "")
        return [
            Finding(
                "labels are not smoothed by the factor that was asked for",
                place,
                f"{factor:g} (label_smoothing_factor)",
                f"{measured} of the target is spread over the other tokens",
                "a compute_loss or compute_loss_func of one's own has to smooth by itself: use trainer.label_smoother "
                "there, or set label_smoothing_factor to 0",
            )
        ]
    if not read.taught.weighted(1.0) and not carries_weights(batch):
        return [
            Finding(
                "the smoothed loss is not the mean over the supervised tokens",
                place,
                "weights of the tokens that add up to 1",
                f"{float(read.taught.weights.sum()):.4f}",
                "divide both parts of the loss by the number of labels that are not -100",
            )
        ]
    return []


def _read(loop: Loop, row: Row) -> _Read | None:
    """What the trainer's loss teaches of one row; None without logits to read it from, and where they are too sure."""
    trainer: Any = loop.trainer
    with as_it_trains(trainer), heard_logits(trainer.model) as heard, torch.enable_grad():
        loss = computed_loss(trainer, dict(row.inputs))
        trained = [logits for logits in heard if logits.requires_grad and logits.dim() == 3]
        if not trained or not loss.requires_grad:
            return None
        (gradient,) = torch.autograd.grad(loss, trained[-1], allow_unused=True)
    if gradient is None or gradient.shape[:2] != row.inputs["input_ids"].shape:
        return None
    logits = trained[-1].detach().cpu().double()
    return _of(gradient.cpu().double(), logits.softmax(-1), row.inputs["input_ids"].cpu(), row.inputs["labels"].cpu())


def _of(gradient: torch.Tensor, likely: torch.Tensor, ids: torch.Tensor, labels: torch.Tensor) -> _Read | None:
    """Of tensors of shape (rows, tokens, vocabulary) and (rows, tokens); a target is the next token or the same one."""
    following = torch.nn.functional.pad(ids[:, 1:], (0, 1))
    maybe = torch.stack([following, ids], dim=-1)
    others = torch.ones_like(likely).scatter_(-1, maybe, 0.0)
    count = others.sum(-1, keepdim=True)
    centre_p = (likely * others).sum(-1, keepdim=True) / count
    centre_g = (gradient * others).sum(-1, keepdim=True) / count
    apart = (likely - centre_p) * others
    unlike = apart.square().sum(-1)
    slope = (apart * gradient).sum(-1, keepdim=True) / unlike.unsqueeze(-1).clamp(min=1e-30)
    below = centre_g + slope * (likely - centre_p) - gradient
    clear = unlike.sqrt() > UNSURE
    if not bool(clear.any()):
        return None
    readable = bool((below * others)[clear].abs().max() <= FORM * gradient.abs().max())
    weights = torch.where(clear, slope.squeeze(-1), 0.0)
    on = weights > 1e-4 * weights.max()
    share = below.gather(-1, maybe) / slope.clamp(min=1e-30)  # of the next token, of the token itself
    left, which = share.max(-1)
    taught = on & (left > 0.5)
    targets = maybe.gather(-1, which.unsqueeze(-1)).squeeze(-1).masked_fill(~taught, IGNORED)
    wanted = torch.nn.functional.pad(labels[:, 1:], (0, 1), value=IGNORED) != IGNORED
    assumed = wanted & ~clear
    spread = (1 - left[taught]).clamp(min=0)
    return _Read(
        Taught(
            torch.where(assumed, following, targets),
            torch.where(assumed, weights[on].median() if bool(on.any()) else 0.0, weights * on),
            readable,
        ),
        most=float(spread.max()) if len(spread) else 0.0,
        least=float(spread.min()) if len(spread) else 0.0,
        beside=int((on & ~taught & ~wanted).sum()),
    )
