"""Anchors: pairs that a judge rated once, asked again at every run. A judge that has changed rates them otherwise.

A model behind an address is replaced without a word, and all its ratings take a step that looks like a better or a
worse model. Frozen pairs cannot get better: whatever moves there is the judge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import DataError, UsageError
from harness.ratings.asking import PROMPT_DIGEST, Contest
from harness.ratings.documents import Fields, read_document, write_document
from harness.ratings.rubric import CRITERIA, Choice
from harness.ratings.sheet import Item
from harness.statistics import tango_bounds

FORMAT = "pytest-sft judge anchors"

LEAST, MOST = 10, 30
"""Below ten, not even a judge that moved on nearly all of them would show; above thirty, they only cost."""

TAIL = 0.05 / len(CRITERIA) / 2
"""On either side of a criterion's interval: a judge as it was is called changed in one run of twenty at most."""

TOWARDS_TUNED = {Choice.LEFT: 1, Choice.TIE: 0, Choice.RIGHT: -1}


@dataclass(frozen=True)
class Anchor:
    """A pair with the tuned model's answer on the left, and what the judge said of it then."""

    contest: Contest
    then: Mapping[str, Choice]


@dataclass(frozen=True)
class Shift:
    """How many anchors moved by one criterion, ``up`` towards the tuned answers; bounds of (up - down) / n."""

    criterion: str
    n: int
    up: int
    down: int
    low: float
    high: float

    @property
    def changed(self) -> bool:
        """The interval of the shift does not contain 0."""
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        return (
            f"{self.criterion}: of {self.n} anchors {self.up} moved towards the tuned answers and {self.down} away, a "
            f"shift of {(self.up - self.down) / self.n:+.2f} (interval {self.low:+.2f} to {self.high:+.2f})"
        )


def anchor_of(item: Item, said: Mapping[str, Choice]) -> Anchor:
    """An anchor from an item of a sheet and what has just been said of it."""
    choices = said if item.tuned_is_left else {name: choice.mirrored for name, choice in said.items()}
    return Anchor(Contest(item.id, item.pair.prompt, item.pair.tuned, item.pair.base), dict(choices))


def write_anchors(path: Path, judge: str, anchors: Sequence[Anchor]) -> None:
    """Freeze anchors; raises UsageError where there are too few to show anything."""
    if len(anchors) < LEAST:
        raise UsageError(
            f"{path}: only {len(anchors)} pairs have a usable rating, and {LEAST} anchors at least are needed; the "
            "same command without --record-anchors writes the ratings that there are."
        )
    rows = [
        {
            "anchor": anchor.contest.id,
            "prompt": anchor.contest.prompt,
            "tuned": anchor.contest.left,
            "base": anchor.contest.right,
            **anchor.then,
        }
        for anchor in anchors[:MOST]
    ]
    write_document(path, FORMAT, {"judge": judge, "prompt": PROMPT_DIGEST, "anchors": rows})


def read_anchors(path: Path, judge: str) -> tuple[Anchor, ...]:
    """Read anchors back; raises DataError where they were rated by another judge or asked for by another prompt."""
    document = read_document(path, FORMAT)
    then = (document.text("judge"), document.text("prompt"))
    if then != (judge, PROMPT_DIGEST):
        raise DataError(
            f"{path}: not comparable, for the anchors were rated by {then[0]!r} with the prompt {then[1]}, and now "
            f"{judge!r} is asked with {PROMPT_DIGEST}; record anchors of this judge with --record-anchors."
        )
    anchors = tuple(_anchor(fields) for fields in document.records("anchors"))
    if len(anchors) < LEAST or len({anchor.contest.id for anchor in anchors}) < len(anchors):
        raise DataError(f"{path}: {LEAST} anchors at least are needed, each once; this file holds {len(anchors)}.")
    return anchors


def shifts(anchors: Sequence[Anchor], now: Mapping[str, Mapping[str, Choice]]) -> list[Shift]:
    """The shift by each criterion, over the anchors that have a usable rating ``now`` (by their id)."""
    asked = [anchor for anchor in anchors if anchor.contest.id in now]
    return [_shift(name, asked, now) for name in CRITERIA] if asked else []


def _shift(criterion: str, anchors: Sequence[Anchor], now: Mapping[str, Mapping[str, Choice]]) -> Shift:
    moves = [
        TOWARDS_TUNED[now[anchor.contest.id][criterion]] - TOWARDS_TUNED[anchor.then[criterion]] for anchor in anchors
    ]
    up, down = sum(move > 0 for move in moves), sum(move < 0 for move in moves)
    return Shift(criterion, len(moves), up, down, *tango_bounds(up, down, len(moves), TAIL))


def _anchor(fields: Fields) -> Anchor:
    then = {}
    for name in CRITERIA:
        if fields.text(name) not in set(Choice):
            raise DataError(f"{fields.where}: {name} is {fields.text(name)[:60]!r}; it is left, right or tie.")
        then[name] = Choice(fields.text(name))
    contest = Contest(fields.text("anchor"), fields.text("prompt"), fields.text("tuned"), fields.text("base"))
    return Anchor(contest, then)
