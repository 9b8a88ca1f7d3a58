"""Reasoning in the template's own tags: opened once, closed once, the answer outside."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.chat.attempt import attempt
from harness.chat.frame import ONE_TURN, frame, message, sentinel, sentinels
from harness.chat.probe import ChatProbe
from harness.records import Finding

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SLASHED = re.compile(r"([^\w\s/'\"])/(\w[\w:.-]*)([^\w\s/'\"])")
"""A closing tag after the manner of ``</think>`` or ``[/THINK]``: a slash after its first character."""

NAMED = re.compile(r"<\|?\w*?(END|end)\w*\|?>")
"""A closing tag after the manner of ``<|END_THINKING|>``."""

BEGINNINGS = {"END": ("START", "BEGIN"), "end": ("start", "begin")}

ANSWER = sentinel(0, "answer")
THOUGHT = sentinel(0, "thought")


@dataclass(frozen=True)
class Tags:
    """What opens and closes a block of reasoning."""

    opening: str
    closing: str

    def sequence(self, text: str) -> list[str]:
        """The tags in a text, in their order."""
        return re.findall(f"{re.escape(self.opening)}|{re.escape(self.closing)}", text)

    def opens(self, text: str) -> bool:
        """Whether the text ends inside of a block."""
        return self.sequence(text)[-1:] == [self.opening]

    def enclose(self, text: str, word: str) -> bool:
        """Whether the word stands in a block that is opened before it and closed after it."""
        before, found, after = text.partition(word)
        return (
            bool(found) and self.sequence(before)[-1:] == [self.opening] and self.sequence(after)[:1] == [self.closing]
        )


@dataclass(frozen=True)
class Given:
    """An answer as it is given to the template, and the turn that comes out: empty where the template refuses it."""

    way: str
    content: str
    turn: str


def reasoning_is_balanced(tokenizer: PreTrainedTokenizerBase, habits: ChatProbe) -> list[Finding]:
    """Where a template takes reasoning, be it in a field of its own or in the content, its tags come out in balance.

    A content may bring its block whole, or only the rest of one that the prompt has opened. A template that looks into
    contents must get both right; one that writes them as they are has nothing to answer for. Reasoning may be dropped.
    """
    pairs = list(_pairs(tokenizer, habits))
    for tags in pairs:
        plain, field, whole, rest = _answers(tokenizer, habits, tags)
        before, _, after = plain.turn.partition(ANSWER)
        if tags.opens(before) or tags.sequence(after):
            continue  # what stands around an answer, or behind it, is no block of reasoning
        looks_into_contents = whole.turn != plain.turn.replace(ANSWER, whole.content)
        for given in (plain, field, whole, rest) if looks_into_contents else (plain, field):
            fault = _fault(tags, given, pairs)
            if fault:
                return [_finding(tags, given, fault)]
    return []


def _pairs(tokenizer: PreTrainedTokenizerBase, habits: ChatProbe) -> Iterator[Tags]:
    """Tags that the template's text has in pairs, but for those that stand around a user's message."""
    source = str(tokenizer.get_chat_template())
    found = {Tags(f"{first}{name}{last}", f"{first}/{name}{last}") for first, name, last in SLASHED.findall(source)}
    for closing in NAMED.finditer(source):
        found |= {Tags(closing[0].replace(closing[1], word), closing[0]) for word in BEGINNINGS[closing[1]]}
    shown = frame(tokenizer, ONE_TURN, parts=habits.parts)
    around_user = shown.literals[0] if shown else ""
    for tags in sorted(found, key=lambda tags: tags.opening):
        if tags.opening in source and tags.opening not in around_user:
            yield tags


def _answers(tokenizer: PreTrainedTokenizerBase, habits: ChatProbe, tags: Tags) -> list[Given]:
    """An answer without reasoning, with a field of it, with a block of it, and with the rest of a block."""
    rest = f"{THOUGHT}\n{tags.closing}\n\n{ANSWER}"
    ways: list[tuple[str, str, dict[str, Any]]] = [
        ("an answer without reasoning", ANSWER, {}),
        ("an answer with its reasoning in a field of its own", ANSWER, {"reasoning": THOUGHT}),
        (f"an answer that holds {tags.opening} reasoning {tags.closing}", f"{tags.opening}\n{rest}", {}),
        (f"an answer that holds reasoning {tags.closing}, the prompt having opened it", rest, {}),
    ]
    (word,) = sentinels(["user"])
    asked = message("user", word, habits.parts)
    texts = [
        attempt(tokenizer, [asked, message("assistant", content, habits.parts) | field]) for _, content, field in ways
    ]
    return [
        Given(way, content, "" if text is None else text.partition(word)[2])
        for (way, content, _), text in zip(ways, texts, strict=True)
    ]


def _fault(tags: Tags, given: Given, pairs: Sequence[Tags]) -> str:
    """What is wrong with a turn; empty where nothing is, or where it was refused."""
    before, found, _ = given.turn.partition(ANSWER)
    written = tags.sequence(given.turn)
    if not given.turn or (given.content in given.turn and written == tags.sequence(given.content)):
        return ""
    if not found:
        return "the answer is lost"
    if written not in ([], [tags.closing], [tags.opening, tags.closing]):
        return f"the tags {' '.join(written)}"
    if written != tags.sequence(before):
        return "the answer stands inside of the block, or before it"
    if THOUGHT in given.turn and not any(each.enclose(given.turn, THOUGHT) for each in pairs):
        return "the reasoning stands outside of the tags"
    return ""


def _finding(tags: Tags, given: Given, fault: str) -> Finding:
    return Finding(
        "the template breaks the block of reasoning in an answer",
        given.way,
        f"{tags.opening} and {tags.closing} once each around the reasoning and before the answer, or neither",
        f"{fault}, in {given.turn[:160]!r}",
        "let tokenizer.chat_template look for the closing tag before it writes a block of its own: it belongs to an "
        "answer whose block the prompt has opened",
    )
