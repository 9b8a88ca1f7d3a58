"""What a loss teaches, read from its gradient on the logits: at which positions, towards which token, how strongly.

The gradient of a weighted negative log-likelihood on the logits of a position is ``w (softmax - onehot(y))``: its one
negative entry names the target ``y``, and its size the weight. So a loss of the user's own is judged by what it does,
whatever it is called and however it is scaled.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from harness.chat.control import name_token
from harness.inspection.batches import IGNORED, Batch
from harness.inspection.loss_run import computed_loss, heard_logits, in_float32, left_as_it_was
from harness.inspection.matching import Inspection
from harness.records import Finding

if TYPE_CHECKING:
    from transformers import Trainer

FORM = 1e-4
"""How far a gradient may be from the form above, as a share of its largest entry, to be read at all."""

EVEN = 1e-3
"""Allowed relative difference between the weights of two tokens; float32 gives 1e-6, a mean of means much more."""


@dataclass(frozen=True)
class Taught:
    """Tensors of shape (rows, tokens): the id that a position's logits are pulled to (-100: none), and how strongly.

    ``readable`` is false where the loss is no weighted likelihood of single tokens (a distillation, say), ``linear``
    where it pulls like one and has another value: a preference or a focal loss, whose weights follow from the model.
    """

    targets: torch.Tensor
    weights: torch.Tensor
    readable: bool = True
    linear: bool = True

    def weighted(self, total: float) -> bool:
        """Whether the weights sum up to this; those of a mean sum up to 1."""
        return abs(float(self.weights.sum()) - total) <= EVEN * total

    @property
    def by_token(self) -> bool:
        """Whether a token's weight hangs on which token it is alone, as the class weights of a loss have it.

        Tokens that come again must have the same weight in every row, and a row must hold unlike weights: a mean of
        the rows' means has one weight a row.
        """
        on = self.targets != IGNORED
        apart = [self.weights[on & (self.targets == each)] for each in set(self.targets[on].tolist())]
        again = [weights for weights in apart if len(weights) > 1]
        rows = [self.weights[row][on[row]] for row in range(len(on)) if bool(on[row].any())]
        return bool(again) and all(map(_even, again)) and not all(map(_even, rows))


def taught(trainer: Trainer, batch: Batch) -> Taught | None:
    """What the trainer's loss teaches on a batch; None where the model gives no logits to read it from."""
    with left_as_it_was(trainer), in_float32(trainer.model), heard_logits(trainer.model) as heard, torch.enable_grad():
        loss = computed_loss(trainer, batch.inputs)
        trained = [logits for logits in heard if logits.requires_grad]
        if not trained or not loss.requires_grad:
            return None
        (gradient,) = torch.autograd.grad(loss, trained[-1], allow_unused=True)
    if gradient is None or gradient.dim() != 3:
        return None
    return _read(gradient.cpu().double(), trained[-1].detach().cpu().double().log_softmax(-1), float(loss.detach()))


def _read(gradient: torch.Tensor, log_likely: torch.Tensor, loss: float) -> Taught:
    likely = log_likely.exp()
    targets = gradient.argmin(-1, keepdim=True)
    weights = -gradient.gather(-1, targets) / (1 - likely.gather(-1, targets)).clamp(min=1e-9)
    onehot = torch.zeros_like(likely).scatter_(-1, targets, 1.0)
    if (gradient - weights * (likely - onehot)).abs().max() > FORM * gradient.abs().max():
        return Taught(targets.squeeze(-1), weights.squeeze(-1), readable=False)
    flat = weights.squeeze(-1)
    on = flat > 1e-5 * flat.max()
    value = -float((flat * on * log_likely.gather(-1, targets).squeeze(-1)).sum())
    linear = abs(value - loss) <= EVEN * max(abs(loss), abs(value))
    return Taught(targets.squeeze(-1).masked_fill(~on, IGNORED), flat * on, linear=linear)


def what_is_wrong(seen: Inspection, batch: Batch, found: Taught) -> list[Finding]:
    """Targets that are not the next token, labels without effect, effects without label, and uneven weights."""
    if not found.readable:
        return []
    # An adapter may put virtual tokens before every row: the last of them has logits for the row's first token.
    before = found.targets.shape[1] - batch.inputs["input_ids"].shape[1]
    ids, labels = (
        torch.nn.functional.pad(batch.inputs[name].cpu(), (before, 0), value=IGNORED)
        for name in ("input_ids", "labels")
    )
    following = torch.nn.functional.pad(ids[:, 1:], (0, 1), value=IGNORED)
    wanted = torch.nn.functional.pad(labels[:, 1:], (0, 1), value=IGNORED) != IGNORED
    on = found.targets != IGNORED
    faults = {
        "the loss teaches another token than the next one": on & wanted & (found.targets != following),
        "the loss teaches tokens whose label is -100": on & ~wanted & (found.targets == following),
        "labels have no effect on the loss": wanted & ~on,
    }
    findings = [_at(seen, batch, what, where, found, before) for what, where in faults.items() if bool(where.any())]
    return findings or _unevenly(batch, found, on)


def _at(seen: Inspection, batch: Batch, what: str, where: torch.Tensor, found: Taught, before: int) -> Finding:
    row, place = (int(each) for each in where.nonzero()[0])
    token, target = place - before, int(found.targets[row, place])
    following = int(batch.inputs["input_ids"][row, token + 1])
    pulled = "nothing" if target == IGNORED else name_token(seen.tokenizer, target)
    return Finding(
        what,
        f"prepared row {batch.first_row + row}, token {token}; {int(where.sum())} such positions in the batch",
        f"the token after it, {name_token(seen.tokenizer, following)}, where its label is not -100",
        f"the gradient pulls towards {pulled}",
        "see that labels are shifted once, by the model or by compute_loss, and that -100 is ignored",
    )


def carries_weights(batch: Batch) -> bool:
    """Whether the batch says itself how much each row or token should count."""
    return any(
        isinstance(value, torch.Tensor) and value.is_floating_point() and key != "attention_mask"
        for key, value in batch.inputs.items()
    )


def _even(weights: torch.Tensor) -> bool:
    return float(weights.min()) > (1 - EVEN) * float(weights.max())


def _unevenly(batch: Batch, found: Taught, on: torch.Tensor) -> list[Finding]:
    """Tokens that count unequally though nothing in the batch says how much each should."""
    weights = found.weights[on]
    meant = carries_weights(batch) or found.by_token or not found.linear
    if meant or not len(weights) or _even(weights):
        return []
    return [
        Finding(
            "supervised tokens count unequally",
            f"prepared rows {batch.first_row} to {batch.first_row + len(batch.features) - 1}",
            "every supervised token of a batch with the same weight",
            f"weights from {float(weights.min()):.2e} to {float(weights.max()):.2e}, with no weights in the batch",
            "average over all tokens of the batch at once, not row by row",
        )
    ]
