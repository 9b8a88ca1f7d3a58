"""Judges that are not what they were, and raters who look suspicious and are not."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from harness.ratings.anchors import read_anchors
from harness.ratings.documents import write_document
from harness.ratings.filled import RATINGS
from harness.ratings.judge import Wanted, judge_sheet
from harness.ratings.key import KEY, write_key
from harness.ratings.preference import preference
from harness.ratings.reading import read_rated
from harness.ratings.rubric import CRITERIA
from harness.ratings.server import Reply, Server, judge_address
from harness.ratings.sheet import Item, Pair, Sheet, blinded
from harness.records import Finding
from harness.zoo.exhibit import Fault, Setup, Trap
from harness.zoo.traps_verdicts import alarms

PREFERRED = "quality/the_answers_are_preferred"
PAIRS = 40

Taste = Callable[[int], str]
"""From the number of a question to what a judge likes there: ``tuned``, ``base``, or the answer at a place, A or B."""


class Judge(Server):
    """A judge that needs no address, since its taste is known."""

    def __init__(self, taste: Taste) -> None:
        super().__init__(judge_address("http://127.0.0.1/v1#judge"))
        self.taste = taste

    def ask(self, messages: Sequence[dict[str, str]]) -> Reply:
        """A reply in the form that is asked for."""
        quoted = re.findall(r"^(tuned|base) answer (\d+)$", messages[-1]["content"], re.MULTILINE)
        liked = self.taste(int(quoted[0][1]))
        place = liked if liked in ("A", "B") else "A" if quoted[0][0] == liked else "B"
        return Reply(json.dumps(dict.fromkeys(CRITERIA, place)), "stop", "judge")


def by_turns(number: int) -> str:
    """Two models alike: as often the one as the other."""
    return "tuned" if number % 2 else "base"


def by_turns_but_once(number: int) -> str:
    """The same judge on another machine, whose rounding turned one close call."""
    return "tuned" if number == 0 else by_turns(number)


def lenient(_number: int) -> str:
    """What stands behind the same name now likes longer answers, and all of the tuned model's are longer."""
    return "tuned"


def first_in_close_calls(number: int) -> str:
    """Goes by the place in four of ten pairs, where it sees no difference, and by turns in the others."""
    return "A" if number % 5 < 2 else by_turns(number)


def _sheet(name: str) -> Sheet:
    pairs = [Pair(f"{name}-{n:02}", f"{name} {n}", f"tuned answer {n}", f"base answer {n}") for n in range(PAIRS)]
    return blinded(name, pairs, {"tuned": {}, "base": {}}, secret=name)


def _judged(taste: Taste, taste_before: Taste) -> Setup:
    """A sheet rated by a judge whose anchors were recorded on an earlier one."""

    def find() -> list[Finding]:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            anchors, output = folder / "anchors.json", folder / "judge.json"
            before = Wanted(_sheet("earlier"), folder / "earlier.json", record_anchors=anchors)
            judge_sheet(before, Judge(taste_before), list)
            sheet = _sheet("now")
            write_key(sheet, folder / KEY)
            judge_sheet(Wanted(sheet, output, read_anchors(anchors, "judge")), Judge(taste), list)
            return _found([output])

    return Setup(more={PREFERRED: find})


def _rated_by_two() -> Setup:
    """Two people who agree as often as chance would have it, about models that are alike."""

    def find() -> list[Finding]:
        with tempfile.TemporaryDirectory() as temporary:
            sheet = _sheet("now")
            write_key(sheet, Path(temporary) / KEY)
            habits: dict[str, Callable[[int], bool]] = {"one": lambda n: n % 2 < 1, "other": lambda n: n % 4 < 2}
            files = [Path(temporary) / f"{name}.json" for name in habits]
            for file, habit in zip(files, habits.values(), strict=True):
                ratings = [_rating(item, "left" if habit(n) else "right") for n, item in enumerate(sheet.items)]
                write_document(file, RATINGS, {"sheet": sheet.digest, "rater": file.stem, "ratings": ratings})
            return _found(files)

    return Setup(more={PREFERRED: find})


def _rating(item: Item, side: str) -> dict[str, str]:
    return {"item": item.id, "digest": item.digest, **dict.fromkeys(CRITERIA, side)}


def _found(files: Sequence[Path]) -> list[Finding]:
    """Where the gate fails a run that is given these ratings."""
    rated = read_rated(files)
    judged = [found for name in CRITERIA if (found := preference(rated, name)) is not None]
    compared = len(judged)
    return [alarm for found in judged for alarm in alarms(found.tuned, found.base, margin=0.1, comparisons=compared)]


FAULTS = (
    Fault(
        id="eval-20",
        name="The model behind a judge's name is another one now, and more lenient",
        source="Chen, Zaharia and Zou 2023, How Is ChatGPT's Behavior Changing over Time?, arXiv:2307.09009",
        inject=partial(_judged, lenient, by_turns),
        caught_by=(PREFERRED,),
        twin=partial(_judged, by_turns_but_once, by_turns),
    ),
)

TRAPS = (
    Trap(
        "ok-90",
        "A judge goes by the place of an answer in four of ten pairs, and its totals are even",
        partial(_judged, first_in_close_calls, first_in_close_calls),
    ),
    Trap("ok-91", "Two people agree no more than by chance about models that are alike", _rated_by_two),
)
