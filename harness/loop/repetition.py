"""The same run twice, and a run that is interrupted: both must come to the same losses."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice

import torch
from transformers import set_seed

from harness.findings import Note
from harness.inspection.batches import collated_as
from harness.loop.looked_at import Loop
from harness.loop.observed import SAVED_AFTER, differs, observed, tolerance
from harness.loop.put_back import put_back
from harness.loop.short_run import Course
from harness.records import Finding

NEEDED = {
    "optimizer.pt": "the optimizer's moments",
    "scheduler.pt": "where the schedule is",
    "trainer_state.json": "how many steps are done",
}
"""What transformers reads to go on; a checkpoint without one of these is taken without a word."""

ROWS = "rows"

DRAWN = 8
"""Rows that are collated twice to see whether the collator draws."""

STRAYED = 1e-3
"""How far resumed weights may be from the others, as a share of the way that these went in the same steps."""


def the_same_seed_gives_the_same_run(loop: Loop, note: Note) -> list[Finding]:  # noqa: ARG001
    """Two runs from the same weights and seed see the same rows and have the same losses."""
    first, second = observed(loop.trainer).course, observed(loop.trainer).repeated
    for number, (one, other) in enumerate(zip(first.steps, second.steps, strict=False)):
        if one.rows != other.rows:
            return [
                Finding(
                    "two runs with one seed see other rows",
                    f"step {number + 1}",
                    f"the same token ids in the same order (seed={loop.trainer.args.seed})",
                    "other token ids",
                    "seed the sampler, the collator and everything in the data set that draws: a generator made from "
                    "args.seed, no random.SystemRandom, no order of a set",
                )
            ]
        if differs(one.loss, other.loss, tolerance(loop.trainer)):
            return [
                Finding(
                    "two runs with one seed have other losses",
                    f"step {number + 1}, on the same rows",
                    f"{one.loss:.8f}",
                    f"{other.loss:.8f}",
                    "look for state that outlives a run (a counter in the collator or the loss), noise with a "
                    "generator of its own, or kernels without a fixed order (full_determinism=True)",
                )
            ]
    return []


def resuming_equals_no_interruption(loop: Loop, note: Note) -> list[Finding]:
    """A run that was saved, stopped and resumed has the losses, learning rates and weights of one that was not."""
    runs = observed(loop.trainer)
    if not runs.can_resume:
        why = "save_only_model=True" if loop.trainer.args.save_only_model else f"{runs.course.planned} steps in all"
        note(f"nothing to resume from: {why}")
        return []
    whole, resumed = runs.repeated, runs.resumed
    if resumed is None:
        return []
    if isinstance(resumed, str):
        return [
            Finding(
                "a run that was interrupted cannot be resumed",
                f"train(resume_from_checkpoint=...) from what is saved after {SAVED_AFTER} steps",
                "that it goes on",
                resumed,
                "save what transformers saves (trainer_state.json, optimizer.pt, scheduler.pt, rng_state.pth and the "
                "weights), under its names",
            )
        ]
    recast = [name for name, weight in resumed.final.items() if weight.dtype != whole.final[name].dtype]
    if recast:
        note(
            f"a resumed run trains {recast[0]} in {resumed.final[recast[0]].dtype}, the one before it in "
            f"{whole.final[recast[0]].dtype}, so they are not compared; peft loads adapters in float32"
        )
        return []
    if loop.trainer.args.ignore_data_skip:
        note("ignore_data_skip=True: a resumed run begins with the first rows again, so only its schedule is compared")
    found = next(_first_difference(loop, whole, resumed), None)
    if found is not None and found[0].endswith(ROWS) and _draws(loop):
        note("the collator draws at random, and a run draws anew after resuming, so its losses are not compared")
        return []
    if found is None:
        return []
    where, expected, got = found
    lacks = _lacking(loop, whole)
    return [
        Finding(
            "a resumed run is another run",
            where,
            expected,
            f"{got}{lacks}",
            "save and load optimizer, schedule and random states with the weights; if the collator or the data set "
            "counts or draws, save its state too",
        )
    ]


def _lacking(loop: Loop, whole: Course) -> str:
    """What the checkpoint does not have, of the files and of the weights by the names that they have in memory."""
    from peft import PeftModel

    missing = [f"{name} ({meaning})" for name, meaning in NEEDED.items() if name not in whole.saved]
    if not any(name.startswith("rng_state") for name in whole.saved):
        missing.append("rng_state.pth (random states)")
    renamed = sorted(whole.trained - whole.stored)
    if renamed and not isinstance(loop.trainer.model, PeftModel):
        missing.append(f"{len(renamed)} weights by their names in memory ({renamed[0]}), so they are not loaded")
    return f"; the checkpoint lacks {', '.join(missing)}" if missing else ""


def _draws(loop: Loop) -> bool:
    """Whether the collator makes another batch of the same rows when it may draw other numbers."""
    rows = list(islice(chain.from_iterable(batch.features for batch in loop.seen.batches), DRAWN))
    batches = []
    for seed in (1, 2):
        with put_back(loop.trainer):
            set_seed(seed)
            batches += collated_as(loop.trainer, [[row] for row in rows])
    one, other = batches[: len(rows)], batches[len(rows) :]
    return any(not torch.equal(a["input_ids"], b["input_ids"]) for a, b in zip(one, other, strict=True))


def _first_difference(loop: Loop, whole: Course, resumed: Course) -> Iterator[tuple[str, str, str]]:
    """(Where, without interruption, resumed) of the first step that is not the same, at last of the weights."""
    allowed = tolerance(loop.trainer)
    same_rows = not loop.trainer.args.ignore_data_skip
    for number, (one, other) in enumerate(zip(whole.steps[SAVED_AFTER:], resumed.steps, strict=False)):
        where = f"step {SAVED_AFTER + number + 1}, step {number + 1} after resuming"
        if [rate for rate, _ in one.rates] != [rate for rate, _ in other.rates]:
            yield f"{where}: learning rate", str([r for r, _ in one.rates]), str([r for r, _ in other.rates])
        if same_rows and one.rows != other.rows:
            yield f"{where}: {ROWS}", "those that come next without an interruption", "other ones"
        if same_rows and differs(one.loss, other.loss, allowed):
            yield f"{where}: loss", f"{one.loss:.8f}", f"{other.loss:.8f}"
    strayed = _strayed(loop, whole, resumed)
    if same_rows and strayed > max(STRAYED, allowed):
        yield "the trained weights at the end", "the same weights", f"{strayed:.1%} of their way apart"


def _strayed(loop: Loop, whole: Course, resumed: Course) -> float:
    """The distance between the weights that two runs end with, as a share of the way from where they began."""
    begun = dict(loop.trainer.model.named_parameters())
    apart = _norm(whole.final[name] - resumed.final[name] for name in whole.final)
    way = _norm(whole.final[name] - begun[name].detach() for name in whole.final)
    return apart / way if way else 0.0


def _norm(tensors: Iterator[torch.Tensor]) -> float:
    return float(sum(float(each.double().square().sum()) for each in tensors) ** 0.5)
