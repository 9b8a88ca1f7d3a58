"""Pairs of answers, shuffled so that neither the side nor the order tells which model wrote what."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from harness.errors import DataError
from harness.models.base import Completion
from harness.provenance import object_digest
from harness.records import Messages, Sample, SampleSet
from harness.samples import sample_digest


@dataclass(frozen=True)
class Pair:
    """One question with the answers of both models; ``sample`` is the id of the sample that it was asked from."""

    sample: str
    prompt: str
    tuned: str
    base: str
    cluster: str = ""

    @property
    def digest(self) -> str:
        """What a win rate of later answers may be compared on: the question and the base model's answer to it."""
        return sample_digest({"prompt": self.prompt, "base": self.base})


@dataclass(frozen=True)
class Item:
    """A pair as raters see it, under an id that says nothing."""

    id: str
    pair: Pair
    tuned_is_left: bool

    @property
    def left(self) -> str:
        """The answer on the left."""
        return self.pair.tuned if self.tuned_is_left else self.pair.base

    @property
    def right(self) -> str:
        """The answer on the right."""
        return self.pair.base if self.tuned_is_left else self.pair.tuned

    @cached_property
    def digest(self) -> str:
        """Names what a rater has seen, so that a rating cannot be taken for one of other answers."""
        return sample_digest({"prompt": self.pair.prompt, "left": self.left, "right": self.right})


@dataclass(frozen=True)
class Sheet:
    """All items in the order in which they are shown, and the pairs that need no rater: both answers are the same.

    ``models`` holds what is known of the ``tuned`` and of the ``base`` model: their names and digests.
    """

    name: str
    items: tuple[Item, ...]
    same: tuple[Pair, ...]
    models: Mapping[str, Mapping[str, str]]
    limited: bool = False

    @cached_property
    def digest(self) -> str:
        """Names the sheet by everything that is on it."""
        return object_digest([[item.id, item.digest] for item in self.items])


def pairs_of(samples: SampleSet, tuned: Mapping[str, Completion], base: Mapping[str, Completion]) -> tuple[Pair, ...]:
    """The answers of two models to the same samples, by sample id."""
    return tuple(
        Pair(each.id, _conversation(each), tuned[each.id].text, base[each.id].text, each.cluster) for each in samples
    )


def blinded(
    name: str, pairs: Sequence[Pair], models: Mapping[str, Mapping[str, str]], secret: str, *, limited: bool = False
) -> Sheet:
    """Shuffle order and sides by ``secret``, which no rater may know: it would tell them whose answer is on the left.

    Each model is on the left in half of the items, so that a habit of preferring one side favours neither. Raises
    DataError where all pairs hold the same answer twice.
    """
    draw = random.Random(secret)
    different = [pair for pair in pairs if pair.tuned.strip() != pair.base.strip()]
    if not different:
        raise DataError(f"{name}: both models give the same answer to all {len(pairs)} samples; nothing to compare.")
    draw.shuffle(different)
    sides = [place % 2 == 0 for place in range(len(different))]
    draw.shuffle(sides)
    ids = [f"{number:010x}" for number in draw.sample(range(16**10), len(different))]
    return Sheet(
        name=name,
        items=tuple(Item(*fields) for fields in zip(ids, different, sides, strict=True)),
        same=tuple(pair for pair in pairs if pair.tuned.strip() == pair.base.strip()),
        models=models,
        limited=limited,
    )


def _conversation(sample: Sample) -> str:
    """The question as raters read it: one message as it is, a longer conversation with its roles."""
    messages: Messages = sample.messages
    if len(messages) == 1:
        return str(messages[0]["content"])
    return "\n\n".join(f"{message['role']}: {message['content']}" for message in messages)
