"""The noise floor of a machine: how far scores move when the same model gets the same questions in another batch."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

from harness.metrics.choice import choice_likelihoods
from harness.models.asked import Form, Kept, afresh, answered
from harness.models.base import Model
from harness.records import Finding, SampleSet
from harness.store import Answers

QUESTIONS = 32
"""Each costs a forward pass for each of its choices, once a model and machine."""

LEAD = {"torch.float32": 1e-3, "torch.float16": 0.2, "torch.bfloat16": 1.0}
"""Nats by which the best choice must lead to be no near tie in this type: a multiple of what batches move."""


@dataclass(frozen=True)
class NoiseFloor:
    """Of ``questions``, ``flips`` have another best choice alone than in a batch, those in ``clear`` by no near tie.

    ``nats`` is the largest change of a choice's log-likelihood.
    """

    questions: int
    flips: int
    nats: float
    clear: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.flips} of {self.questions} questions flip in another batch, {self.nats:.0e} nats at most"


def noise_floor(batched: Model, alone: Model, questions: SampleSet, *, dtype: str) -> NoiseFloor:
    """Asks evenly spaced questions in batches and one row at a time; both models are the same one, and compute anew."""
    step = -(-len(questions) // QUESTIONS)
    asked = replace(questions, samples=questions.samples[::step])
    together = choice_likelihoods("noise floor", afresh(batched), asked, chat=False)
    single = choice_likelihoods("noise floor", afresh(alone), asked, chat=False)
    pairs = dict(zip((sample.id for sample in asked), zip(together, single, strict=True), strict=True))
    flipped = {name: pair for name, pair in pairs.items() if _best(pair[0]) != _best(pair[1])}
    return NoiseFloor(
        questions=len(asked),
        flips=len(flipped),
        nats=max(abs(one - other) for pair in pairs.values() for one, other in zip(*pair, strict=True)),
        clear=tuple(name for name, pair in flipped.items() if _lead(pair[1]) > LEAD.get(dtype, max(LEAD.values()))),
    )


def stored_noise_floor(answers: Answers, known_by: object, measure: Callable[[], NoiseFloor]) -> NoiseFloor:
    """The floor that an earlier run has measured under the same description, or a new one, which is kept."""
    (floor,) = answered(Kept(answers), _FLOOR, [known_by], lambda _: [{0: measure()}])
    return floor


def scores_depend_on_their_batch(floor: NoiseFloor, name: str) -> list[Finding]:
    """One finding where a choice that leads clearly loses its lead in another batch."""
    if not floor.clear:
        return []
    return [
        Finding(
            "scores depend on the batch",
            f"{len(floor.clear)} of {floor.questions} questions of {name}, {floor.clear[0]} first",
            "the same best choice alone and in a batch, near ties apart",
            str(floor),
            "look at the padding, the attention mask and the positions of a batch; or run with --batch-size 1",
        )
    ]


def _best(likelihoods: Sequence[float]) -> int:
    return max(range(len(likelihoods)), key=likelihoods.__getitem__)


def _lead(likelihoods: Sequence[float]) -> float:
    first, second = sorted(likelihoods, reverse=True)[:2]
    return first - second


def _pack(floor: NoiseFloor) -> bytes:
    return json.dumps(asdict(floor)).encode()


def _unpack(packed: bytes) -> NoiseFloor:
    told = json.loads(packed)
    return NoiseFloor(**told | {"clear": tuple(told["clear"])})


_FLOOR = Form("noise floor", _pack, _unpack)
