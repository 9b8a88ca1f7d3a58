"""IFEval's rules about the form of an answer: each takes an answer and what the instruction states.

They decide as IFEval's published checkers do, which are the definition of the benchmark: what counts as a bullet, a
paragraph or a title is theirs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

Given = Mapping[str, Any]

POSTSCRIPTS = {"P.P.S": r"p\.\s?p\.\s?s", "P.S.": r"p\.\s?s\."}
"""Markers of which spaced spellings count too; any other marker is looked for as it stands."""

OPTIONS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")

FENCES = ("```json", "```Json", "```JSON", "```")


def number_of_placeholders(answer: str, given: Given) -> bool:
    """At least so many texts in square brackets."""
    return len(re.findall(r"\[.*?\]", answer)) >= int(given["num_placeholders"])


def has_postscript(answer: str, given: Given) -> bool:
    """The marker of a postscript is there, in any case and at any place."""
    marker = given["postscript_marker"].strip()
    return bool(re.search(POSTSCRIPTS.get(marker, marker.lower()), answer.lower()))


def number_of_bullets(answer: str, given: Given) -> bool:
    """Exactly so many lines that begin with one asterisk or with a dash."""
    stars = re.findall(r"^\s*\*[^\*].*$", answer, re.MULTILINE)
    dashes = re.findall(r"^\s*-.*$", answer, re.MULTILINE)
    return len(stars) + len(dashes) == int(given["num_bullets"])


def is_one_of_the_options(answer: str, given: Given) -> bool:  # noqa: ARG001 - as every rule has it
    """One of the three allowed sentences is in the answer."""
    return any(option in answer for option in OPTIONS)


def number_of_highlights(answer: str, given: Given) -> bool:
    """At least so many texts between asterisks; bold ones are found twice, as in the published checker."""
    single = [text.strip("*") for text in re.findall(r"\*[^\n\*]*\*", answer)]
    double = [text[2:-2] for text in re.findall(r"\*\*[^\n\*]*\*\*", answer)]
    return sum(bool(text.strip()) for text in single + double) >= int(given["num_highlights"])


def number_of_sections(answer: str, given: Given) -> bool:
    """At least so many headings of the splitter's word and a number."""
    return len(re.findall(rf"\s?{given['section_spliter'].strip()}\s?\d+\s?", answer)) >= int(given["num_sections"])


def number_of_paragraphs(answer: str, given: Given) -> bool:
    """Exactly so many texts between ``***``, none of them empty but for what is outside the first and the last."""
    texts = re.split(r"\s?\*\*\*\s?", answer)
    empty = [place for place, text in enumerate(texts) if not text.strip()]
    if any(0 < place < len(texts) - 1 for place in empty):
        return False
    return len(texts) - len(empty) == int(given["num_paragraphs"])


def first_word_of_paragraph(answer: str, given: Given) -> bool:
    """So many texts between blank lines, and the one asked for begins with the word.

    The paragraph is counted with empty texts, their number without: as in the published checker.
    """
    texts = answer.split("\n\n")
    filled = sum(bool(text.strip()) for text in texts)
    place = int(given["nth_paragraph"])
    if place > filled or not texts[place - 1].strip():
        return False
    opening = texts[place - 1].split()[0].lstrip("'").lstrip('"')
    word = re.split(r"""[.,?!'"]""", opening)[0].lower()
    return filled == int(given["num_paragraphs"]) and word == str(given["first_word"]).lower()


def is_json(answer: str, given: Given) -> bool:  # noqa: ARG001 - as every rule has it
    """JSON, in a code fence or not."""
    text = answer.strip()
    for fence in FENCES:
        text = text.removeprefix(fence)
    try:
        json.loads(text.removesuffix("```").strip())
    except (ValueError, RecursionError):  # an answer may nest brackets without end
        return False
    return True


def has_title(answer: str, given: Given) -> bool:  # noqa: ARG001 - as every rule has it
    """A text that is not empty in double angular brackets, on one line."""
    return any(title.lstrip("<").rstrip(">").strip() for title in re.findall(r"<<[^\n]+>>", answer))


def has_two_answers(answer: str, given: Given) -> bool:  # noqa: ARG001 - as every rule has it
    """Two different answers with six asterisks between them; before and behind them there may be more asterisks."""
    texts = [text.strip() for text in answer.split("******")]
    filled = [text for text in texts if text]
    return all(texts[1:-1]) and len(filled) == 2 and filled[0] != filled[1]


def repeats_the_prompt(answer: str, given: Given) -> bool:
    """The answer begins with the request, whatever its case."""
    return answer.strip().lower().startswith(str(given["prompt_to_repeat"]).strip().lower())


def ends_with_phrase(answer: str, given: Given) -> bool:
    """The phrase is the end, whatever its case; quotation marks around the answer do not count."""
    return answer.strip().strip('"').lower().endswith(str(given["end_phrase"]).strip().lower())


def has_no_comma(answer: str, given: Given) -> bool:  # noqa: ARG001 - as every rule has it
    """No comma; that of another script is another character."""
    return "," not in answer


def is_quoted(answer: str, given: Given) -> bool:  # noqa: ARG001 - as every rule has it
    """Straight double quotation marks stand at both ends."""
    text = answer.strip()
    return len(text) > 1 and text[0] == text[-1] == '"'
