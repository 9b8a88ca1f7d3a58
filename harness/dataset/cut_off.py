"""Answers that stop in the middle: cut at a length limit by whoever wrote them, and now taught as complete ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from harness.dataset.answers import listed
from harness.dataset.row_text import ASSISTANT, RowText, opening
from harness.dataset.rows_and_samples import RowsAndSamples
from harness.findings import Note
from harness.records import Finding

AT_LEAST, SHARE, RATIO = 5, 0.05, 3.0
"""Of the longest quarter of the answers, 5 and 5 % break off, and three times as often as the others. Whole answers do
so in up to 3 % of the longest quarter (twelve public data sets); English and German ones that are cut at their 80th
percentile, in 10 to 37 %."""

PILE, PILE_SHARE, PILE_LENGTH = 10, 0.05, 10
"""10 answers and 5 % have the length of the longest, of at least 10 words or 50 characters ..."""

USUAL_END, FEW_ENDS = 0.7, 0.5
"""... and less than half of them end as 70 % of the others do: with a mark."""

READ = 20_000
"""Answers from which it is learned which words end nothing."""

USES, ENDS = 20, 0.03
"""A word that stands 20 times inside lines, and less than 3 times in a hundred at a sentence's end, ends nothing."""

_COMMAS = (",", "，", "、", "،")
_SENTENCE_ENDS = (".", "?", "!", ":", "。", "？", "！")
_BEHIND = ".?!:;,)\"'。？！"


@dataclass(frozen=True)
class Answer:
    """The last answer of a row, and whether it breaks off."""

    row: RowText
    text: str
    breaks_off: bool


def answers_are_not_cut_off(data: RowsAndSamples, note: Note) -> list[Finding]:
    """Long answers end as short ones do, and not all at one length; a few that break off are noted."""
    said = [(row, row.last_answer.rstrip()) for row in data.texts if any(role == ASSISTANT for role, _ in row.turns)]
    said = [(row, text) for row, text in said if text]
    if not said:
        return []
    inside = words_that_end_nothing(text for _, text in islice(said, READ))
    answers = [Answer(row, text, breaks_off(text, inside)) for row, text in said]
    if findings := [*_longest(answers), *_piled(answers)]:
        return findings[:1]
    broken = [answer for answer in answers if answer.breaks_off]
    if broken:
        note(f"{len(broken)} of {len(answers)} answers may break off: {_listed(broken)}")
    return []


def words_that_end_nothing(texts: Iterator[str]) -> frozenset[str]:
    """Words such as "the" and "of", learned from the texts: common inside lines, and hardly ever at an end."""
    inside: Counter[str] = Counter()
    ends: Counter[str] = Counter()
    for text in texts:
        for line in text.casefold().splitlines():
            *before, last = line.split() or [""]
            inside.update(before)
            ends.update(word.rstrip(_BEHIND) for word in before if word.endswith(_SENTENCE_ENDS))
            ends[last.rstrip(_BEHIND)] += 1
    return frozenset(word for word, n in inside.items() if n >= USES and word.isalpha() and ends[word] < ENDS * n)


def breaks_off(text: str, end_nothing: frozenset[str]) -> bool:
    """Whether a text ends with a comma, with a word that ends nothing, or inside a fenced block of code."""
    if text.count("```") % 2 or text.endswith(_COMMAS):
        return True
    return text[-40:].split()[-1].casefold() in end_nothing


def _longest(answers: Sequence[Answer]) -> Iterator[Finding]:
    ordered = sorted(answers, key=lambda answer: -len(answer.text))
    quarter = max(1, len(ordered) // 4)
    broken, others = ([a for a in part if a.breaks_off] for part in (ordered[:quarter], ordered[quarter:]))
    often = len(broken) / quarter
    if len(broken) >= AT_LEAST and often >= SHARE and often * (len(ordered) - quarter) >= RATIO * len(others):
        yield _finding(
            broken,
            f"{len(broken)} of the {quarter} longest answers break off, and {len(others)} of the other "
            f"{len(ordered) - quarter}; the first ends with {_end(broken[0])}",
        )


def _piled(answers: Sequence[Answer]) -> Iterator[Finding]:
    measures: tuple[tuple[str, int, Callable[[str], int]], ...] = (
        ("characters", 5 * PILE_LENGTH, len),
        ("words", PILE_LENGTH, lambda text: len(text.split())),
    )
    for unit, least, measure in measures:
        lengths = [measure(answer.text) for answer in answers]
        longest = max(lengths)
        pile = [answer for answer, length in zip(answers, lengths, strict=True) if length == longest]
        rest = [answer for answer, length in zip(answers, lengths, strict=True) if length < longest]
        if longest < least or len(pile) < max(PILE, PILE_SHARE * len(answers)) or not rest:
            continue
        if _ended(rest) >= USUAL_END and _ended(pile) < FEW_ENDS:
            yield _finding(
                pile,
                f"{len(pile)} of {len(answers)} have exactly {longest} {unit} and none has more; {_ended(pile):.0%} of "
                f"these end with a mark and {_ended(rest):.0%} of the others; the first ends with {_end(pile[0])}",
            )


def _ended(answers: Sequence[Answer]) -> float:
    """The share of answers that end with anything but a letter, a digit or a comma."""
    return sum(not (a.text[-1].isalnum() or a.text.endswith(_COMMAS)) for a in answers) / len(answers)


def _finding(broken: Sequence[Answer], found: str) -> Finding:
    return Finding(
        "answers are cut off, so the model learns to stop in the middle of a sentence",
        _listed(broken),
        "answers that end where a sentence, a list or a block of code ends, however long they are",
        found,
        "write these answers again with a higher limit (max_new_tokens, a column's width), or take the rows out",
    )


def _end(answer: Answer) -> str:
    return opening(answer.text[-32:])


def _listed(broken: Sequence[Answer]) -> str:
    return listed([answer.row for answer in broken])
