"""Which weights train, which of them move, and that nothing else does."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from typing import Any

from harness.findings import Note
from harness.loop.looked_at import Loop
from harness.loop.observed import observed
from harness.loop.short_run import Course
from harness.records import Finding

SHOWN = 3


def only_intended_parameters_train(loop: Loop, note: Note) -> list[Finding]:
    """An adapter trains whole and alone; of a full model something trains; the optimizer has what trains."""
    model: Any = loop.trainer.model
    trained = {name for name, weight in model.named_parameters() if weight.requires_grad}
    if not trained:
        return [
            Finding(
                "no weight of the model trains, so training changes nothing",
                f"all {sum(1 for _ in model.parameters())} tensors of {type(model).__name__}",
                "requires_grad on what is to be learned",
                "requires_grad is False everywhere",
                "load an adapter with is_trainable=True, or call requires_grad_(True) on what is to be tuned",
            )
        ]
    unused = _unused_adapter(model)
    if unused is not None:
        return [unused]
    meant = _meant_by_peft(model)
    if meant is None:
        _note_frozen_parts(model, trained, note)
        return []
    return [*_frozen_adapter(meant, trained), *_base_beside_it(model, trained - meant, note)]


def _unused_adapter(model: Any) -> Finding | None:
    """An adapter whose layers compute with the base alone: merged into it, or switched off."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers = {name: layer for name, layer in model.named_modules() if isinstance(layer, BaseTunerLayer)}
    for how, undo in (("merged", "unmerge_adapter()"), ("disable_adapters", "enable_adapter_layers()")):
        names = [name for name, layer in layers.items() if getattr(layer, how) and _trains_beside_base(layer)]
        if names:
            state = "merged into its base" if how == "merged" else "switched off"
            return Finding(
                "the adapter takes no part in the model that trains",
                _listed(names),
                "adapted layers that add their adapter to the base",
                f"{len(names)} of {len(layers)} layers whose adapter is {state}",
                f"call {undo} before the training",
            )
    return None


def _trains_beside_base(layer: Any) -> bool:
    return any(weight.requires_grad for name, weight in layer.named_parameters() if not name.startswith("base_layer"))


def _meant_by_peft(model: Any) -> set[str] | None:
    """The weights that peft itself would train of a model with an adapter; None where there is no adapter."""
    from peft import PeftModel

    if not isinstance(model, PeftModel):
        return None
    flags = [(weight, weight.requires_grad) for weight in model.parameters()]
    try:
        for weight, _ in flags:
            weight.requires_grad_(False)
        # A config that says inference would keep it frozen, which is what is looked for.
        model.set_adapter(model.active_adapter, inference_mode=False)
        return {name for name, weight in model.named_parameters() if weight.requires_grad}
    finally:
        for weight, trains in flags:
            weight.requires_grad_(trains)


def _frozen_adapter(meant: set[str], trained: set[str]) -> list[Finding]:
    frozen = sorted(meant - trained)
    if not frozen:
        return []
    return [
        Finding(
            "a part of the adapter does not train",
            _listed(frozen),
            f"all {len(meant)} tensors of the active adapter with requires_grad",
            f"{len(frozen)} of them are frozen",
            "load the adapter with is_trainable=True, make the one that is to train active (set_adapter), and freeze "
            "the base before the adapter is put on it",
        )
    ]


def _base_beside_it(model: Any, beside: set[str], note: Note) -> list[Finding]:
    """A base matrix that trains under its own adapter makes both of them pointless; anything else may be meant."""
    under = sorted(name for name in beside if ".base_layer." in name and name.endswith("weight"))
    if under:
        return [
            Finding(
                "weights of the base train under their own adapter",
                _listed(under),
                "the base frozen, the adapter trained",
                f"{len(under)} adapted matrices of the base have requires_grad too",
                "freeze the base after the adapter is put on it, or tune the whole model without an adapter",
            )
        ]
    if beside:
        total = sum(weight.numel() for name, weight in model.named_parameters() if name in beside)
        note(f"beside the adapter {total:,} weights of the base train: {_listed(sorted(beside))}")
    return []


def _note_frozen_parts(model: Any, trained: set[str], note: Note) -> None:
    frozen = [name for name, _ in model.named_parameters() if name not in trained]
    if frozen:
        note(f"{len(frozen)} of {len(frozen) + len(trained)} tensors are frozen: {_listed(frozen)}")


def every_trained_weight_moves(loop: Loop, note: Note) -> list[Finding]:
    """After a few steps each weight that trains has got a gradient and has changed.

    A module that these rows do not use (an expert that no token was sent to) has none, and is only noted.
    """
    course = observed(loop.trainer).course
    if not course.trained:
        return []  # another case says so
    broken = [number for number, step in enumerate(course.steps, 1) if not math.isfinite(step.loss)]
    if broken:
        return [_no_number(course, broken[0])]
    effective = sum(any(rate > 0 for rate, _ in step.rates) for step in course.steps)
    if effective < 2:
        note(
            f"only {effective} of the first {len(course.steps)} steps have a learning rate above 0: nothing to see yet"
        )
        return []
    outside = course.trained - course.grouped
    if course.undropped:
        note(f"{len(course.undropped)} dropout layers drop nothing in training: {_listed(sorted(course.undropped))}")
    still = course.trained - course.reached - outside
    unused = still - course.ran
    if unused:
        note(f"no row of the first steps used {len(unused)} tensors: {_listed(sorted(unused))}")
    twice = _twice_in_the_optimizer(course.doubled)
    return [*_not_in_the_optimizer(outside), *twice, *_without_gradient(still - unused), *_rounded_away(loop, course)]


def _no_number(course: Course, step: int) -> Finding:
    return Finding(
        "the loss is no number, and the weights become none with it",
        f"step {step} of {course.planned}",
        "a finite loss",
        f"{course.steps[step - 1].loss}",
        "look for a batch without a token to learn, weights that are nan or inf already, and an overflow in float16",
    )


def _not_in_the_optimizer(outside: Collection[str]) -> list[Finding]:
    if not outside:
        return []
    return [
        Finding(
            "weights that train are in no group of the optimizer",
            _listed(sorted(outside)),
            "every weight with requires_grad in the optimizer",
            f"{len(outside)} are missing, so no step changes them",
            "build the optimizer after the adapter is put on and the last weight is unfrozen",
        )
    ]


def _twice_in_the_optimizer(doubled: Collection[str]) -> list[Finding]:
    if not doubled:
        return []
    return [
        Finding(
            "weights are in the optimizer more than once",
            _listed(sorted(doubled)),
            "every weight in one group, so that a step moves it once",
            f"{len(doubled)} are moved several times by each step",
            "build the groups so that no weight is in two of them; tied weights count once",
        )
    ]


def _without_gradient(still: Collection[str]) -> list[Finding]:
    if not still:
        return []
    return [
        Finding(
            "weights that train get no gradient",
            _listed(sorted(still)),
            "a gradient other than zero within the first steps, as their modules take part in the forward pass",
            f"none, or zero everywhere, in {len(still)} tensors",
            "look for detach(), no_grad() or a reentrant checkpoint between them and the loss "
            "(activation_checkpointing_kwargs={'use_reentrant': False}, or enable_input_require_grads())",
        )
    ]


def _rounded_away(loop: Loop, course: Course) -> list[Finding]:
    still = sorted(course.reached & course.grouped - course.moved)
    if not still:
        return []
    weights = dict(loop.trainer.model.named_parameters())
    kinds = sorted({str(weights[name].dtype).removeprefix("torch.") for name in still})
    rate = max(rate for step in course.steps for rate, _ in step.rates)
    return [
        Finding(
            "weights get gradients and do not move",
            _listed(still),
            f"another value after {len(course.steps)} steps at learning rates up to {rate:.1e}",
            f"{len(still)} tensors of {', '.join(kinds)} are what they were, to the last bit",
            "train in float32 (dtype='float32', autocast_adapter_dtype=True): in half precision an update that is "
            "small beside its weight is rounded away",
        )
    ]


def the_base_of_an_adapter_stays(loop: Loop, note: Note) -> list[Finding]:  # noqa: ARG001
    """Frozen weights are the same after a few steps, bit for bit."""
    moved = observed(loop.trainer).course.base_moved
    if not moved:
        return []
    return [
        Finding(
            "training changes weights that are frozen",
            _listed(moved),
            "the same bits after a few steps",
            f"{len(moved)} frozen tensors have changed; they are left so, since frozen weights are not copied",
            "see that no callback, hook or optimizer group writes to the base; merge an adapter only after training",
        )
    ]


def _listed(names: Iterable[str]) -> str:
    each = list(names)
    more = f" and {len(each) - SHOWN} more" if len(each) > SHOWN else ""
    return ", ".join(each[:SHOWN]) + more
