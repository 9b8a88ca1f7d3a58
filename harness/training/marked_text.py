"""Where the answers are in a text that was written with markers: ``### Response:`` and the like."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

from harness.errors import DataError, UsageError


@dataclass(frozen=True)
class Markers:
    """What stands before every answer, and before every instruction where a text may hold several turns.

    Raises UsageError where a marker is empty, or one is a part of the other.
    """

    response: str
    instruction: str | None = None

    def __post_init__(self) -> None:
        if not self.response.strip() or (self.instruction is not None and not self.instruction.strip()):
            raise UsageError(
                "a marker is empty: give the text that stands before an answer, such as '### Response:\\n'"
            )
        if self.instruction and (self.instruction in self.response or self.response in self.instruction):
            raise UsageError(
                f"the instruction marker {self.instruction!r} and the response marker {self.response!r} cannot be told "
                "apart, because one is a part of the other: give both as whole lines"
            )


@dataclass(frozen=True)
class _Mark:
    start: int
    end: int
    kind: str


def answers_in(text: str, markers: Markers, *, whole: bool) -> list[tuple[int, int]]:
    """The half-open ranges of characters that the answers of a text cover, without the white space after them.

    ``whole`` tells that the text was not cut at its end.

    Raises:
        DataError: no answer is there, or what the markers say is not clear.

    """
    marks = _marks(text, markers)
    if not any(mark.kind == "response" for mark in marks):
        raise DataError(
            f"does not hold the response marker {markers.response!r}, so nothing of it would be learned: write the "
            "marker as the rows do, with its line breaks, or raise the length limit if it was cut off"
        )
    doubled = next((left for left, right in pairwise(marks) if left.kind == right.kind), None)
    if doubled is not None:
        raise DataError(_not_clear(doubled.kind, markers))
    if whole and marks[-1].kind == "instruction":
        raise DataError("ends with an instruction, or quotes its marker in an answer, so the last answer is not clear")
    followers = [*(mark.start for mark in marks[1:]), len(text)]
    ranges = [
        (mark.end, len(text[:following].rstrip()))
        for mark, following in zip(marks, followers, strict=True)
        if mark.kind == "response"
    ]
    answers = [(start, end) for start, end in ranges if start < end]
    if not answers:
        raise DataError(
            f"has nothing after the response marker {markers.response!r}, so nothing of it would be learned"
        )
    return answers


def _marks(text: str, markers: Markers) -> list[_Mark]:
    wanted = {"response": markers.response, "instruction": markers.instruction}
    found = [
        _Mark(match.start(), match.end(), kind)
        for kind, marker in wanted.items()
        if marker
        for match in re.finditer(re.escape(marker), text)
    ]
    return sorted(found, key=lambda mark: mark.start)


def _not_clear(kind: str, markers: Markers) -> str:
    marker = markers.response if kind == "response" else markers.instruction
    if markers.instruction is None:
        return (
            f"holds the response marker {marker!r} more than once: name the instruction_marker too if rows have "
            "several turns, or write the marker with the line break before it if messages quote it"
        )
    return (
        f"holds the {kind} marker {marker!r} twice without the other marker between, so a message quotes it: write the "
        "marker with the line break before it, or give such rows as messages"
    )
