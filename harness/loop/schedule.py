"""The learning rate of every step, and the size of its gradient, against the plan that the arguments declare."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from harness.findings import Note
from harness.loop.looked_at import Loop
from harness.loop.observed import observed
from harness.loop.short_run import Course
from harness.records import Finding

SHAPES: dict[str, Callable[[float], float]] = {
    "linear": lambda done: 1.0 - done,
    "cosine": lambda done: 0.5 * (1.0 + math.cos(math.pi * done)),  # Loshchilov and Hutter 2017, eq. 5, one cycle to 0
    "constant_with_warmup": lambda _: 1.0,
    "constant": lambda _: 1.0,
}
"""From the share of the steps after the warm-up that are done to the share of the peak learning rate."""

CLOSE = 1e-4
"""Relative; a schedule computes in double precision, and a step too many moves the shortest of them by more."""


def optimizer_and_schedule_follow_the_plan(loop: Loop, note: Note) -> list[Finding]:
    """Each step has the learning rate that the arguments declare, and no larger gradient than they allow."""
    course = observed(loop.trainer).course
    if not course.planned:
        return [_no_step(loop.trainer)]
    if not course.steps:
        return []
    return [*_whole_numbers(loop, course), *_rates(loop, course, note), *_clipped(loop, course)]


def _no_step(trainer: Any) -> Finding:
    args = trainer.args
    return Finding(
        "the training has no step, so nothing is learned",
        f"num_train_epochs={args.num_train_epochs:g}, max_steps={args.max_steps}",
        "one step at least",
        "none",
        "set num_train_epochs above 0, or max_steps; see that the training set has rows",
    )


def _whole_numbers(loop: Loop, course: Course) -> Iterator[Finding]:
    """Below 1 ``warmup_steps`` is a share of all steps, from 1 on a number of them: 1.0 is one step."""
    written = _declared_warmup(loop)
    if isinstance(written, float) and written >= 1 and course.planned > written:
        yield Finding(
            "the warm-up is written like a share and taken for a number of steps",
            f"warmup_steps={written!r}, of {course.planned} steps in all",
            f"a whole number of steps, or a share below 1 (0.1 would be {math.ceil(0.1 * course.planned)} steps)",
            f"a warm-up of {int(written)} of {course.planned} steps",
            "write warmup_steps=0.1 for a tenth of all steps, or a whole number without a point",
        )


def _declared_warmup(loop: Loop) -> Any:
    """As it was written: in the recipe, where there is one, for trl's parser makes every number a float."""
    if loop.recipe is not None:
        return loop.recipe.values.get("warmup_steps", 0)
    return loop.trainer.args.warmup_steps


def _rates(loop: Loop, course: Course, note: Note) -> Iterator[Finding]:
    trainer: Any = loop.trainer
    kind = str(getattr(trainer.args.lr_scheduler_type, "value", trainer.args.lr_scheduler_type))
    if all(rate == 0 for step in course.steps for rate, _ in step.rates):
        yield Finding(
            "the learning rate is zero, so no step changes anything",
            f"steps 1 to {len(course.steps)} of {course.planned}",
            f"a learning rate above 0 (learning_rate={trainer.args.learning_rate:g}, {kind})",
            "0 in every parameter group",
            "set learning_rate, and a warm-up that is shorter than the training",
        )
        return
    planned = course.by_transformers and kind in SHAPES and not trainer.args.lr_scheduler_kwargs
    if trainer.lr_scheduler is not None or not planned:
        rates = ", ".join(f"{max(rate for rate, _ in step.rates):.2e}" for step in course.steps)
        note(f"the schedule is one of its own kind ({kind}); the first steps had learning rates of {rates}")
        return
    yield from _peaks(trainer, course)
    rising = _rising(kind, course.planned, trainer.args.warmup_steps)
    if rising >= course.planned:
        note(
            f"the warm-up takes {rising} steps and the training {course.planned}: the learning rate ends at "
            f"{(course.planned - 1) / rising:.0%} of what was asked for"
        )
    for number, step in enumerate(course.steps):
        expected = _share(kind, number, course.planned, trainer.args.warmup_steps)
        for rate, peak in step.rates:
            if not math.isclose(rate, expected * peak, rel_tol=CLOSE, abs_tol=CLOSE * peak):
                yield Finding(
                    "a step has another learning rate than the schedule plans",
                    f"step {number + 1} of {course.planned}",
                    f"{expected * peak:.3e} ({kind}, warmup_steps={trainer.args.warmup_steps})",
                    f"{rate:.3e}",
                    "step the scheduler once after each optimizer step, by the trainer alone, and let nothing else set "
                    "the learning rate",
                )
                return


def _peaks(trainer: Any, course: Course) -> Iterator[Finding]:
    """Where the trainer builds the optimizer, one group at least starts from the learning rate that was asked for."""
    peaks = {peak for _, peak in course.steps[0].rates}
    asked = trainer.args.learning_rate
    if trainer.optimizer is None and not any(math.isclose(peak, asked, rel_tol=CLOSE) for peak in peaks):
        yield Finding(
            "the optimizer has another learning rate than was asked for",
            "every parameter group, before the schedule",
            f"{asked:.3e} (learning_rate)",
            ", ".join(f"{peak:.3e}" for peak in sorted(peaks)),
            "let the optimizer take learning_rate from the arguments",
        )


def _share(kind: str, step: int, planned: int, warmup: float) -> float:
    """The share of the peak learning rate at a step, counted from 0, of the schedule as transformers defines it."""
    rising = _rising(kind, planned, warmup)
    if step < rising:
        return step / max(1, rising)
    return SHAPES[kind](min(1.0, (step - rising) / max(1, planned - rising)))


def _rising(kind: str, planned: int, warmup: float) -> int:
    """The steps of the warm-up."""
    return 0 if kind == "constant" else int(warmup) if warmup >= 1 else math.ceil(planned * warmup)


def _clipped(loop: Loop, course: Course) -> Iterator[Finding]:
    allowed = loop.trainer.args.max_grad_norm
    if not allowed or allowed <= 0:
        return
    for number, step in enumerate(course.steps):
        if step.gradient_norm > allowed * (1 + 1e-3):
            yield Finding(
                "the gradient that reaches the optimizer is larger than max_grad_norm",
                f"step {number + 1} of {course.planned}",
                f"a norm of at most {allowed:g} over all trained weights",
                f"{step.gradient_norm:.4g}",
                "clip after the last micro-batch and before the optimizer's step, over all weights that train",
            )
            return
