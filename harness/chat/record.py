"""What is kept of a chat template, and what has changed since: plain JSON, made to be read in a diff."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.chat.control import plain_ids, token_text
from harness.chat.probe import GENERATION_MARKS, ChatProbe, probe
from harness.chat.template import REFUSALS, SHOWN_OPTIONS, SHOWN_ROLES, shown
from harness.chat.tokens import tokens_of
from harness.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

BETWEEN = "\N{SYMBOL FOR UNIT SEPARATOR}"
"""Stands between the texts of two tokens, so that a conversation is one line; no template writes it."""

KEPT = 400
"""Tokens that are kept of a conversation: some templates write pages about tools, and their digest tells them too."""

NAMED = 4
"""Ids that a message names before it only counts."""

SHOWN_TEXT = 40
"""Characters of differing tokens that a message shows."""

CHAT, TEMPLATE = "chat", "template"
"""The keys under which a model's record keeps ``chat_record`` and the digest; old records have no ``chat``."""

FORMAT = 1
"""Raised when a habit gets another name or other words, so that habits of older records are not compared."""

Token = tuple[int, str]
Habit = tuple[str, str, str]


@dataclass(frozen=True)
class Change:
    """What two records of one template, or of two, do not have in common.

    ``where`` is the place of the first token that differs; ``was`` and ``now`` name the tokens there, or say that the
    conversation is refused. All three are empty where the recorded conversations are the same. ``habits`` lists the
    habits that are not the same, each with its recorded value and that of today.
    """

    where: str = ""
    was: str = ""
    now: str = ""
    habits: tuple[Habit, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.where or self.habits)

    def __str__(self) -> str:
        if self.where:
            return f"{self.where}: {self.was} -> {self.now}"
        return "; ".join(f"{habit}: {was} -> {now}" for habit, was, now in self.habits)


def template_record(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """What a model's record keeps of its template; empty where the template writes no conversation to train on."""
    try:
        habits = probe(tokenizer)
    except (ModelError, *REFUSALS):
        return {}
    return {TEMPLATE: habits.digest, CHAT: chat_record(tokenizer, habits)}


def chat_record(tokenizer: PreTrainedTokenizerBase, habits: ChatProbe) -> dict[str, Any]:
    """The template's habits in words, and some conversations as tokens, each a line; a refused one is left out."""
    conversations = [(roles, SHOWN_OPTIONS[0]) for roles in SHOWN_ROLES] + [(SHOWN_ROLES[0], SHOWN_OPTIONS[1])]
    written = {_label(roles, options): shown(tokenizer, roles, options) for roles, options in conversations}
    return {
        "format": FORMAT,
        "habits": habits.table(),
        "probes": {label: _kept(tokenizer, text) for label, text in written.items() if text},
    }


def what_changed(recorded: Mapping[str, Any], now: Mapping[str, Any]) -> Change:
    """Compare two records as ``chat_record`` makes them; what only one of them can know of is no change."""
    habits = _changed_habits(recorded, now) if recorded.get("format") == now.get("format") else ()
    before, after = _mapping(recorded, "probes"), _mapping(now, "probes")
    if before and after:
        for label in (*after, *(label for label in before if label not in after)):
            if before.get(label) != after.get(label):
                return _change(label, _tokens(before.get(label)), _tokens(after.get(label)), habits)
    return Change(habits=habits)


def _changed_habits(recorded: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[Habit, ...]:
    old, new = _mapping(recorded, "habits"), _mapping(now, "habits")
    return tuple(
        (habit, str(old[habit]), str(new[habit]))
        for habit in old
        if habit in new and habit != GENERATION_MARKS and old[habit] != new[habit]
    )


def _label(roles: Sequence[str], options: Mapping[str, Any]) -> str:
    return ", ".join(roles) + (" with a tool on offer" if options else "")


def _kept(tokenizer: PreTrainedTokenizerBase, text: str) -> dict[str, str]:
    ids = plain_ids(tokenizer, text)[:KEPT]
    return {"ids": " ".join(map(str, ids)), "tokens": BETWEEN.join(_texts(tokenizer, text, ids))}


def _texts(tokenizer: PreTrainedTokenizerBase, text: str, ids: list[int]) -> list[str]:
    """What each token covers of the text; a token that is decoded alone would lose the space that it begins with."""
    if not tokenizer.is_fast:
        return [token_text(tokenizer, token_id) for token_id in ids]
    (tokens,) = tokens_of(tokenizer, [text], add_special_tokens=False)
    return [text[start:end] for start, end in zip((0, *tokens.ends), tokens.ends, strict=False)][: len(ids)]


def _mapping(record: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """A part of a record, which people may have edited; nothing where it is not what it should be."""
    part = record.get(key)
    return part if isinstance(part, Mapping) else {}


def _tokens(kept: Any) -> list[Token]:
    """The tokens of a kept conversation; none where it was refused, or where its two lines do not fit together."""
    if not isinstance(kept, Mapping):
        return []
    ids, texts = str(kept.get("ids", "")).split(), str(kept.get("tokens", "")).split(BETWEEN)
    if len(ids) != len(texts) or not all(each.isdecimal() for each in ids):
        return []
    return [(int(token_id), text) for token_id, text in zip(ids, texts, strict=True)]


def _change(label: str, before: list[Token], after: list[Token], habits: tuple[Habit, ...]) -> Change:
    """The first run of tokens in which two texts differ; its index counts in the recorded one."""
    if not before or not after:
        return Change(f"the conversation {label!r}", _whole(before), _whole(after), habits)
    spans = difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    start, end, new_start, new_end = next(span[1:] for span in spans if span[0] != "equal")
    context = "".join(text for _, text in before[max(0, start - 3) : start])
    place = f"token {start}, after {context!r}" if start else "token 0"
    return Change(
        f"the conversation {label!r}, {place}", _named(before[start:end]), _named(after[new_start:new_end]), habits
    )


def _whole(tokens: list[Token]) -> str:
    return f"written in {len(tokens)} tokens" if tokens else "refused"


def _named(tokens: list[Token]) -> str:
    """Some tokens for a reader: their text, and the ids of the first ones."""
    if not tokens:
        return "no token"
    text = "".join(part for _, part in tokens)
    ids = " ".join(str(token_id) for token_id, _ in tokens[:NAMED])
    more = f" and {len(tokens) - NAMED} more" if len(tokens) > NAMED else ""
    shortened = text if len(text) <= SHOWN_TEXT else f"{text[:SHOWN_TEXT]}..."
    return f"{shortened!r} ({'id' if len(tokens) == 1 else 'ids'} {ids}{more})"
