"""Where an assistant turn begins and ends: its header, the prompt of inference, and the tokens that close it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.chat.control import control_ids, control_ids_in, first_difference, plain_ids
from harness.chat.frame import Frame, sentinel_messages, sentinels
from harness.chat.template import REFUSALS, encode, render

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

NAMES_SOMEBODY = re.compile(r"\w")
"""A header of signs alone, such as a colon, may stand before anything."""


@dataclass(frozen=True)
class Ending:
    """How an assistant turn ends; the fields are those of ``ChatProbe``."""

    terminator_id: int | None
    closing_ids: frozenset[int]
    ends_last_turn: bool


def ending(
    tokenizer: PreTrainedTokenizerBase, single: Frame, going_on: Frame | None, generation_prompt: list[int]
) -> Ending:
    """The control tokens that follow an assistant's content: those that a next turn does not change, first of all.

    ``single`` shows a user's message and an answer, ``going_on`` the same with another message of the user.
    """
    last_ids = plain_ids(tokenizer, single.literals[-1])
    if unasked_header(single, going_on):
        # What follows the first control token opens a turn that nobody asked for.
        first = control_ids_in(tokenizer, single.literals[-1])[:1]
        return Ending(first[0] if first else None, frozenset(first), ends_last_turn=bool(first))
    candidates = control_ids(tokenizer) - set(generation_prompt)
    if candidates.isdisjoint(last_ids):
        # The prompt may write what ends a turn as well: it closes the user's turn, or a block that it opens.
        candidates = (control_ids(tokenizer) & set(last_ids)) or candidates

    def closers(ids: list[int]) -> list[int]:
        return [i for i in ids if i in candidates]

    next_ids = last_ids if going_on is None else plain_ids(tokenizer, going_on.literals[2])
    after_last, after_middle = closers(last_ids), closers(next_ids)
    shared = closers(last_ids[: first_difference(last_ids, next_ids)])
    if shared:
        return Ending(shared[-1], frozenset(shared + after_last), ends_last_turn=True)
    if after_last:
        # The last turn ends by a token of its own; a turn before it may end by what ends the user's turns too.
        user_closers = control_ids_in(tokenizer, single.literals[1])
        middle = [i for i in after_middle[:1] if i in user_closers]
        return Ending(after_last[0], frozenset(after_last + middle), ends_last_turn=True)
    if after_middle:
        return Ending(after_middle[0], frozenset(after_middle[:1]), ends_last_turn=False)
    return Ending(None, frozenset(), ends_last_turn=False)


def unasked_header(single: Frame, going_on: Frame | None) -> str:
    """The end of what opens an answer, where it is also written after the last answer of a row; else nothing.

    A next message of the user takes its place: so it is no part of the answer's own ending.
    """
    if going_on is None:
        return ""
    after = single.literals[-1]
    opened = after[first_difference(after, going_on.literals[2]) :].strip()
    return opened if NAMES_SOMEBODY.search(opened) and single.literals[1].rstrip().endswith(opened) else ""


def generation_prompt(tokenizer: PreTrainedTokenizerBase, parts: bool) -> list[int]:
    """What ``add_generation_prompt`` adds to a conversation that waits for an answer; nothing for some templates."""
    messages = sentinel_messages(["user"], parts)
    prompted = encode(tokenizer, messages, generation_prompt=True)
    try:
        plain = encode(tokenizer, messages)
    except REFUSALS:
        written = render(tokenizer, messages, generation_prompt=True)
        return plain_ids(tokenizer, written.rpartition(sentinels(["user"])[0])[2])
    return prompted[first_difference(prompted, plain) :]


def assistant_header(single: Frame, prompt: str) -> str:
    """The text that opens an assistant turn in a row: the part of the generation prompt that rows have, if it has any.

    Where a template has no generation prompt, all that stands between the user's content and the answer.
    """
    between = single.literals[1]
    for length in range(len(prompt.rstrip()), 0, -1):
        head = prompt[:length]
        if head in between:
            return head
    return between.strip()


def is_prefix_preserving(tokenizer: PreTrainedTokenizerBase, parts: bool) -> bool:
    """Whether the ids of a row start with those that the model is prompted with, in a first turn and in a second."""
    for roles in (["user", "assistant"], ["user", "assistant", "user", "assistant"]):
        try:
            prompt = encode(tokenizer, sentinel_messages(roles[:-1], parts), generation_prompt=True)
            row = encode(tokenizer, sentinel_messages(roles, parts))
        except REFUSALS:
            continue
        if row[: len(prompt)] != prompt:
            return False
    return True
