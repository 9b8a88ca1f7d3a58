"""One pair asked in both orders: what is a preference, what only follows the place of an answer, what is no rating."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.ratings.judged import Orders
from harness.ratings.rubric import CRITERIA, Choice

Reply = Mapping[str, str]
"""One order as it is kept: a choice for each criterion and what ``served`` it, or why it is ``unusable``."""


@dataclass(frozen=True)
class Opinion:
    """What both orders of one pair came to: a choice for each criterion, or why there is none."""

    choices: Mapping[str, Choice]
    unusable: str = ""


def opinion(pair: Sequence[Reply]) -> Opinion:
    """From the replies in both orders: a preference where they agree, a tie where the order decided.

    One order without a usable reply leaves the whole pair without a rating: half of it would be the order's.
    """
    for reply in pair:
        if "unusable" in reply:
            return Opinion({}, str(reply["unusable"]))
    straight, mirrored = (_choices(reply) for reply in pair)
    return Opinion(
        {name: straight[name] if straight[name] is mirrored[name].mirrored else Choice.TIE for name in CRITERIA}
    )


def orders_of(pairs: Iterable[Sequence[Reply]], criterion: str) -> Orders:
    """How the two orders of all usable pairs went together by one criterion."""
    counts: Counter[str] = Counter()
    for straight, mirrored in ([_choices(reply)[criterion] for reply in pair] for pair in pairs):
        if straight is mirrored.mirrored:
            counts["agreed"] += 1
        elif straight is mirrored:  # the same place twice, so each answer once
            counts["first" if straight is Choice.LEFT else "second"] += 1
        else:
            counts["other"] += 1
    return Orders(**counts)


def _choices(reply: Reply) -> dict[str, Choice]:
    return {name: Choice(reply[name]) for name in CRITERIA}
