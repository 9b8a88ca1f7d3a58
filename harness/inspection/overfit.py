"""A few rows learned by heart: does the model say them back, and does it end where they end?

The loss tells nothing of this: it falls to zero as well where the terminator is masked or where labels are shifted
twice. So what is asked is asked of the model itself, on the rows it has just learned. Where the loss does not fall
(frozen weights, an adapter that is too small) nothing was learned and nothing is said.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from harness.chat.control import name_token, quoted
from harness.chat.turns import Turn
from harness.inspection.batches import IGNORED, Batch, collated
from harness.inspection.documents import segments
from harness.inspection.matching import Inspection, place
from harness.inspection.origins import Match
from harness.inspection.scratch import borrowed_model
from harness.records import Finding

if TYPE_CHECKING:
    from transformers import Trainer

ROWS = 4
STEPS = 120
PAUSE = 10
"""Steps between two looks at how far the rows are learned."""

LEARNED = 0.01
"""How near the loss must come to the best that these rows allow, in nats a token."""

CERTAIN, RULED_OUT = 0.9, 0.1
"""Probabilities of what was learned and of what contradicts it. A set-up that is right reaches 0.98 and 0.001."""


@dataclass(frozen=True)
class Learned:
    """How far the rows were learned: the trainer's loss at the end and the least that is possible, in nats a token."""

    steps: int
    loss: float
    least: float

    @property
    def conclusive(self) -> bool:
        """Whether the rows are known by heart, so that the model's answers say something about the set-up."""
        return self.loss <= self.least + LEARNED


@dataclass(frozen=True)
class Recall:
    """One turn asked back: probabilities of 0 to 1.

    ``first`` is that of its first token after the prompt, ``early_end`` of the terminator there, ``end`` of the
    terminator after the whole answer. ``astray`` is the first token that was not the likeliest, None where the answer
    was said as it was learned. Where the rows themselves disagree on what comes next, nothing counts as wrong: 1.0.
    """

    match: Match
    turn: Turn
    first: float
    early_end: float
    end: float
    astray: int | None


def a_short_overfit_teaches_to_stop(
    trainer: Trainer, seen: Inspection, note: Callable[[str], None] = lambda _: None
) -> list[Finding]:
    """Learn the first rows by heart with the trainer's own loss, then ask for them; the trainer stays as it is.

    ``note`` is told what was reached, and why nothing can be said where that is so.
    """
    if getattr(trainer.args, "loss_type", "nll") != "nll":
        note(f"overfit: loss_type={trainer.args.loss_type!r} can fall without anything being learned, so it is not run")
        return []
    shown = collated(trainer, ROWS)
    documents = {segment.ids for batch in shown for segment in segments(batch)}
    turns = list(_complete_turns(seen, documents))
    if not turns:
        note("overfit: none of the first rows holds a complete turn with a terminator, so there is nothing to ask")
        return []
    with borrowed_model(trainer) as weights:
        if not weights:
            note("overfit: no weight of the model trains, so nothing can be learned")
            return []
        for learned in _learn(trainer, shown, weights):
            recalls = [_recall(trainer.model, match, turn, _followers(documents)) for match, turn in turns]
            findings = [finding for recall in recalls for finding in _findings(recall, seen)]
            if learned.conclusive and not findings:
                break
    if not learned.conclusive:
        note(
            f"overfit: inconclusive, the loss is {learned.loss:.3f} after {learned.steps} steps and could be "
            f"{learned.least:.3f}"
        )
        return []
    note(
        f"overfit: {len(recalls)} answers learned in {learned.steps} steps; least probability of a terminator "
        f"{min(recall.end for recall in recalls):.3f}, of a first token {min(recall.first for recall in recalls):.3f}"
    )
    return findings


def _complete_turns(seen: Inspection, documents: Collection[tuple[int, ...]]) -> Iterator[tuple[Match, Turn]]:
    """The turns of the learned documents of which some content is supervised, once for each document."""
    matches = {match.segment.ids: match for match in seen.matches if match.segment.ids in documents}
    for match in matches.values():
        for turn in match.spans.turns:
            end = turn.terminator
            complete = end is not None and 0 < turn.start < end < len(match.segment.ids)
            if complete and any(label != IGNORED for label in match.segment.labels[turn.start : end]):
                yield match, turn


def _followers(documents: Iterable[tuple[int, ...]]) -> dict[tuple[int, ...], set[int]]:
    """What follows each beginning of a document: several tokens where one prompt has several answers."""
    found: dict[tuple[int, ...], set[int]] = {}
    for ids in documents:
        for at in range(len(ids)):
            found.setdefault(ids[:at], set()).add(ids[at])
    return found


def _learn(trainer: Trainer, shown: Sequence[Batch], weights: list[torch.nn.Parameter]) -> Iterator[Learned]:
    """Adam on the trainer's loss; from time to time, and at the end, how far it is. The trainer's optimizer rests."""
    model: Any = trainer.model
    width = int(getattr(model.config.get_text_config(), "hidden_size", 512))
    adapted = sum(weight.numel() for weight in weights) < sum(weight.numel() for weight in model.parameters()) / 2
    optimizer = torch.optim.AdamW(weights, lr=(1.0 if adapted else 0.3) / width, weight_decay=0.0)
    least = _least_loss(shown)
    for step in range(1, STEPS + 1):
        optimizer.zero_grad(set_to_none=True)
        loss = 0.0
        for batch in shown:
            inputs = {key: v.to(model.device) if hasattr(v, "to") else v for key, v in batch.inputs.items()}
            share = trainer.compute_loss(model, inputs) / len(shown)
            share.backward()
            loss += float(share.detach())
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        reached = Learned(step, loss, least)
        if step == STEPS or (step % PAUSE == 0 and reached.conclusive):
            yield reached


def _least_loss(shown: Sequence[Batch]) -> float:
    """The mean entropy of the next label where the same tokens stand before it, with several rows of one prompt."""
    counts: dict[tuple[int, ...], Counter[int]] = {}
    for batch in shown:
        for segment in segments(batch):
            for at in range(1, len(segment.ids)):
                if segment.labels[at] != IGNORED:
                    counts.setdefault(segment.ids[:at], Counter())[segment.labels[at]] += 1
    total = sum(counter.total() for counter in counts.values())
    lost = -sum(n * math.log(n / counter.total()) for counter in counts.values() for n in counter.values())
    return lost / max(1, total)


@torch.no_grad()
def _recall(model: Any, match: Match, turn: Turn, follows: Mapping[tuple[int, ...], set[int]]) -> Recall:
    ids, end = match.segment.ids, turn.terminator or 0
    logits = model(input_ids=torch.tensor([ids[:end]], device=model.device), use_cache=False).logits[0]
    chances = logits[turn.start - 1 :].float().softmax(dim=-1).cpu()  # (answer and terminator, vocabulary)
    said = chances.argmax(dim=-1).tolist()
    sure = [at for at in range(turn.start, end + 1) if len(follows[ids[:at]]) == 1]
    begins, ends = turn.start in sure, end in sure
    return Recall(
        match,
        turn,
        first=float(chances[0, ids[turn.start]]) if begins else 1.0,
        early_end=float(chances[0, ids[end]]) if begins else 0.0,
        end=float(chances[-1, ids[end]]) if ends else 1.0,
        astray=next((at for at in sure if said[at - turn.start] != ids[at]), None),
    )


def _findings(recall: Recall, seen: Inspection) -> list[Finding]:
    """The first thing that is wrong with the answer: how it begins, where it ends, what stands between."""
    match, turn, ids = recall.match, recall.turn, recall.match.segment.ids
    end = turn.terminator or 0
    if recall.first < CERTAIN or recall.early_end > RULED_OUT:
        return [
            Finding(
                "after learning the row by heart the model does not begin its answer as the row does",
                place(match, turn.start),
                f"{name_token(seen.tokenizer, ids[turn.start])} after the prompt, with a probability above {CERTAIN}",
                f"{recall.first:.3f}; to end at once has {recall.early_end:.3f}",
                "see that labels are a copy of input_ids (the model shifts them itself), and that the prompt of the "
                "row is the prompt of inference",
            )
        ]
    if recall.end < CERTAIN:
        return [
            Finding(
                "after learning the row by heart the model does not end its answer",
                place(match, end),
                f"{name_token(seen.tokenizer, ids[end])} after the answer, with a probability above {CERTAIN}",
                f"{recall.end:.3f}",
                "let the end of the turn be supervised: its label must be its id, and {% endgeneration %} stands "
                "behind it",
            )
        ]
    if recall.astray is not None:
        return [
            Finding(
                "after learning the row by heart the model says something else",
                place(match, recall.astray),
                quoted(seen.tokenizer, ids[recall.astray : min(recall.astray + 6, end + 1)]),
                "another token is the likeliest there",
                "see that every token of the answer is supervised, and that its label is its own id",
            )
        ]
    return []
