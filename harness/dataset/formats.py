"""Answers that are all written in one format, but for a few that are written in it wrongly."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence

from harness.dataset.answers import listed
from harness.dataset.row_text import ASSISTANT, RowText
from harness.dataset.rows_and_samples import RowsAndSamples
from harness.findings import Note
from harness.records import Finding

AT_LEAST, AGREE = 20, 0.95
"""20 answers and 95 % of them make a format."""

_TAG = re.compile(r"\A\s*<([A-Za-z_][\w.-]*)>")


def answers_in_one_format_are_whole(data: RowsAndSamples, note: Note) -> list[Finding]:
    """Where nearly all answers are JSON, what begins as JSON is; a tag that opens answers is closed in each of them."""
    answered = [row for row in data.texts if any(role == ASSISTANT for role, _ in row.turns)]
    _tell_looks(answered, note)
    return [*_json(answered, note), *_tags(answered)]


def _json(rows: Sequence[RowText], note: Note) -> Iterator[Finding]:
    begun = [row for row in rows if row.last_answer.lstrip()[:1] in ("{", "[")]
    if len(begun) < max(AT_LEAST, AGREE * len(rows)):
        return
    broken = [row for row in begun if not _parses(row.last_answer)]
    if broken and len(begun) - len(broken) >= AGREE * len(begun):
        yield Finding(
            "an answer is no JSON though all others are, so the model learns to write what no program reads",
            listed(broken),
            f"JSON, as in {len(begun) - len(broken)} of {len(rows)} answers",
            f"{len(broken)} that begin so and cannot be parsed ({_complaint(broken[0].last_answer)})",
            "correct these answers, or write them again with json.dumps",
        )
    others = [row for row in rows if row.last_answer.lstrip()[:1] not in ("{", "[")]
    if others:
        note(f"{len(begun)} of {len(rows)} answers are JSON and {len(others)} are not: {listed(others)}")


def _parses(text: str) -> bool:
    return not _complaint(text)


def _complaint(text: str) -> str:
    """Why a text is no JSON; empty where it is. Every line of JSON lines is looked at by itself."""
    try:
        json.loads(text)
    except (ValueError, RecursionError) as error:
        lines = text.strip().splitlines()
        if len(lines) > 1 and lines[0].endswith(("}", "]")):
            return next(filter(None, map(_complaint, lines)), "")
        return str(error)
    return ""


def _tags(rows: Sequence[RowText]) -> Iterator[Finding]:
    by_tag: dict[str, list[RowText]] = defaultdict(list)
    for row in rows:
        if opened := _TAG.match(row.last_answer):
            by_tag[opened[1]].append(row)
    for tag, opened_so in by_tag.items():
        broken = [row for row in opened_so if not _is_balanced(row.last_answer, tag)]
        if broken and len(opened_so) >= AT_LEAST and len(broken) <= (1 - AGREE) * len(opened_so):
            yield Finding(
                f"an answer opens <{tag}> and does not close it as the others do",
                listed(broken),
                f"as many </{tag}> as <{tag}>, as in {len(opened_so) - len(broken)} answers that begin so",
                f"{len(broken)} answers without",
                "close the tag where the part ends, or take the rows out: what stands behind it cannot be told apart",
            )


def _is_balanced(text: str, tag: str) -> bool:
    return text.count(f"<{tag}>") == text.count(f"</{tag}>")


def _tell_looks(rows: Sequence[RowText], note: Note) -> None:
    """Tell what nearly all answers look like, with the rows that differ; none of these is a fault."""
    answers = [(row, row.last_answer.strip()) for row in rows if row.last_answer.strip()]
    if len(answers) < AT_LEAST:
        return
    looks: dict[str, Callable[[str], bool]] = {
        "are one line": lambda text: "\n" not in text,
        "end with a full stop": lambda text: text.endswith((".", "。")),
    }
    mark, _ = Counter(_last_line_mark(text) for _, text in answers).most_common(1)[0]
    if mark:
        looks[f"end with a line that begins with {mark!r}"] = lambda text: _last_line_mark(text) == mark
    for look, has in looks.items():
        others = [row for row, text in answers if not has(text)]
        if others and len(others) <= (1 - AGREE) * len(answers):
            note(f"{len(answers) - len(others)} of {len(answers)} answers {look}; the others: {listed(others)}")


def _last_line_mark(text: str) -> str:
    """The first word of the last of several lines where it is a mark such as ####; else nothing."""
    *before, last = text.splitlines()
    first = last.split()[0] if before and last.split() else ""
    return "" if any(c.isalnum() for c in first) else first
