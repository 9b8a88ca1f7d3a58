"""Verifiable instructions (IFEval, Zhou et al. 2023): which of a prompt's instructions does an answer follow.

The names and the parameters of the 25 instructions are those of the data set. Loosely followed is what is followed by
the answer or by one of seven lighter versions of it: without asterisks, without its first line, its last, or both.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from harness.errors import DataError
from harness.metrics import instruction_rules_form as form
from harness.metrics import instruction_rules_words as words

Check = Callable[[str, Mapping[str, Any]], bool]


@dataclass(frozen=True)
class Rule:
    """How an instruction is checked, and the parameters that it has to state, each with its type.

    ``loads`` gets what the check needs beside; called beforehand, it says what is missing before a model is asked.
    """

    check: Check
    states: Mapping[str, type]
    loads: Callable[[], Any] | None = None


def _rule(check: Check, loads: Callable[[], Any] | None = None, **states: type) -> Rule:
    return Rule(check, states, loads)


RULES: Mapping[str, Rule] = {
    "keywords:existence": _rule(words.has_keywords, keywords=list),
    "keywords:frequency": _rule(words.keyword_frequency, keyword=str, relation=str, frequency=int),
    "keywords:forbidden_words": _rule(words.has_no_forbidden_words, forbidden_words=list),
    "keywords:letter_frequency": _rule(words.letter_frequency, letter=str, let_relation=str, let_frequency=int),
    "language:response_language": _rule(words.is_in_language, words.languages, language=str),
    "length_constraints:number_sentences": _rule(
        words.number_of_sentences, words.sentences, num_sentences=int, relation=str
    ),
    "length_constraints:number_paragraphs": _rule(form.number_of_paragraphs, num_paragraphs=int),
    "length_constraints:number_words": _rule(words.number_of_words, num_words=int, relation=str),
    "length_constraints:nth_paragraph_first_word": _rule(
        form.first_word_of_paragraph, num_paragraphs=int, nth_paragraph=int, first_word=str
    ),
    "detectable_content:number_placeholders": _rule(form.number_of_placeholders, num_placeholders=int),
    "detectable_content:postscript": _rule(form.has_postscript, postscript_marker=str),
    "detectable_format:number_bullet_lists": _rule(form.number_of_bullets, num_bullets=int),
    "detectable_format:constrained_response": _rule(form.is_one_of_the_options),
    "detectable_format:number_highlighted_sections": _rule(form.number_of_highlights, num_highlights=int),
    "detectable_format:multiple_sections": _rule(form.number_of_sections, section_spliter=str, num_sections=int),
    "detectable_format:json_format": _rule(form.is_json),
    "detectable_format:title": _rule(form.has_title),
    "combination:two_responses": _rule(form.has_two_answers),
    "combination:repeat_prompt": _rule(form.repeats_the_prompt, prompt_to_repeat=str),
    "startend:end_checker": _rule(form.ends_with_phrase, end_phrase=str),
    "startend:quotation": _rule(form.is_quoted),
    "change_case:capital_word_frequency": _rule(
        words.capital_word_frequency, words.sentences, capital_frequency=int, capital_relation=str
    ),
    "change_case:english_capital": _rule(words.is_english_in_capitals, words.languages),
    "change_case:english_lowercase": _rule(words.is_english_in_small_letters, words.languages),
    "punctuation:no_comma": _rule(form.has_no_comma),
}

RELATIONS = ("less than", "at least")

PATTERNS = frozenset({"keyword", "keywords", "forbidden_words", "section_spliter", "postscript_marker"})
"""Parameters that the published checkers read as regular expressions."""

_KINDS = {str: "a text", int: "a whole number", list: "a list of texts"}


@dataclass(frozen=True)
class Instruction:
    """One instruction of a prompt: its name in ``RULES`` and what it states."""

    name: str
    given: Mapping[str, Any]

    def followed_by(self, answer: str) -> bool:
        """Whether the answer follows it; an answer without a character follows nothing."""
        return bool(answer.strip()) and RULES[self.name].check(answer, self.given)


def instructions_of(data: Mapping[str, Any], where: str) -> tuple[Instruction, ...]:
    """The instructions in ``instruction_id_list`` and ``kwargs`` of a row; ``where`` opens the sentence of a DataError.

    Raises DataError for names that there is no rule for, and for parameters that are missing or of another type;
    UsageError where a rule needs a package that is not installed.
    """
    names, stated = data.get("instruction_id_list"), data.get("kwargs")
    if not isinstance(names, list | tuple) or not isinstance(stated, list | tuple) or not len(names) == len(stated) > 0:
        raise DataError(
            f"{where}: instruction_id_list and kwargs must be lists of one length, an entry for each instruction."
        )
    return tuple(_instruction(name, given, where) for name, given in zip(names, stated, strict=True))


def _instruction(name: Any, stated: Any, where: str) -> Instruction:
    if name not in RULES:
        nearest = difflib.get_close_matches(str(name), RULES, n=1)
        known = f"did you mean {nearest[0]}?" if nearest else f"known are {', '.join(sorted(RULES))}."
        raise DataError(f"{where}: no rule checks the instruction {name!r}: {known}")
    if (loads := RULES[name].loads) is not None:
        loads()
    # A table has a column for every parameter, empty where another instruction has it.
    given = {key: value for key, value in dict(stated or {}).items() if value is not None}
    for key, kind in RULES[name].states.items():
        value = given.get(key)
        if not isinstance(value, kind) or isinstance(value, bool) or value in ("", []):
            raise DataError(f"{where}: {name} needs {key!r} as {_KINDS[kind]}; it has {value!r}.")
        if key.endswith("relation") and value not in RELATIONS:
            raise DataError(f"{where}: {name} knows the relations {' and '.join(RELATIONS)}; it has {value!r}.")
        if key in PATTERNS:
            _require_patterns(value if isinstance(value, list) else [value], f"{where}: {name}")
    return Instruction(name, given)


def _require_patterns(patterns: list[Any], where: str) -> None:
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise DataError(f"{where} needs texts; it has {pattern!r}.")
        try:
            re.compile(pattern)
        except re.error as error:
            raise DataError(f"{where} looks for {pattern!r}, which is no regular expression: {error}.") from None


def followed_strictly(instructions: tuple[Instruction, ...], answer: str) -> tuple[bool, ...]:
    """Which instructions the answer follows as it stands."""
    return tuple(instruction.followed_by(answer) for instruction in instructions)


def followed_loosely(instructions: tuple[Instruction, ...], answer: str) -> tuple[bool, ...]:
    """Which instructions the answer follows, or a version of it without what chat models like to put around answers."""
    versions = _versions(answer)
    return tuple(any(map(instruction.followed_by, versions)) for instruction in instructions)


def _versions(answer: str) -> list[str]:
    lines = answer.split("\n")
    cut = [answer, *("\n".join(kept).strip() for kept in (lines[1:], lines[:-1], lines[1:-1]))]
    return cut + [text.replace("*", "") for text in cut]
