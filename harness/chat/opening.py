"""What opens an answer: the generation prompt of inference against the rows of training."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.chat.abilities import TOOL
from harness.chat.control import first_difference, token_text
from harness.chat.frame import ONE_TURN, SEVERAL_TURNS, Frame, frame, sentinel_messages
from harness.chat.probe import ChatProbe
from harness.chat.template import REFUSALS, encode, render
from harness.records import Finding

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FIRST_WORDS = ("The", "A", "I", "It", "Yes", "To", "1", "好")
"""Words that answers often begin with, and that vocabularies often hold together with a space before them."""

TAGS_ONLY = re.compile(r"\s*(<[^<>]+>\s*)+")
"""Scaffolding such as ``<think>``: a generation prompt may open it for the model. A role's name is not scaffolding."""


def generation_prompt_opens_the_turn(tokenizer: PreTrainedTokenizerBase, habits: ChatProbe) -> list[Finding]:
    """What the model is prompted with is what training rows have before the answer, for one turn and for several.

    A prompt may go further than the rows by scaffolding that it opens for the model (``<think>``), and rows may write
    scaffolding that the model is left to generate; the header that names the role belongs to both. Only the last turn
    is compared: templates of reasoning models write the turns before it differently on purpose.
    """
    findings = _prompts_agree(tokenizer, habits)
    if not findings and habits.tools_on_offer == "taken":
        findings = _prompts_agree(tokenizer, habits, tools=[TOOL])
    return findings or _first_words_stay_apart(tokenizer, habits)


def _prompts_agree(tokenizer: PreTrainedTokenizerBase, habits: ChatProbe, **options: Any) -> list[Finding]:
    findings = []
    for roles in _conversations(habits):
        shown = frame(tokenizer, roles, parts=habits.parts, **options)
        if shown is not None:
            findings += _prompt_agrees(tokenizer, roles, shown, habits, **options)
    return findings


def _conversations(habits: ChatProbe) -> list[tuple[str, ...]]:
    """One turn and several, with and without a system message: a template may open each in its own way."""
    shapes: list[tuple[str, ...]] = [ONE_TURN, SEVERAL_TURNS, ONE_TURN * 3] if habits.continues else [ONE_TURN]
    return shapes if habits.roles["system"] == "refused" else [*shapes, *(("system", *shape) for shape in shapes)]


def _first_words_stay_apart(tokenizer: PreTrainedTokenizerBase, habits: ChatProbe) -> list[Finding]:
    """No first word of an answer swallows the end of the prompt: ``Assistant: `` and ``Yes`` must not be `` Yes``."""
    (user,) = sentinel_messages(["user"], habits.parts)
    prompt = render(tokenizer, [user], generation_prompt=True)
    prompt_ids = encode(tokenizer, [user], generation_prompt=True)
    for word in FIRST_WORDS:
        answer = {"role": "assistant", "content": [{"type": "text", "text": word}] if habits.parts else word}
        row_ids = encode(tokenizer, [user, answer])
        shared = first_difference(prompt_ids, row_ids)
        if shared < len(prompt_ids) and render(tokenizer, [user, answer]).startswith(prompt + word):
            return [
                Finding(
                    "the generation prompt ends in a character that training joins with the answer's first word",
                    f"token {shared} of the prompt",
                    f"{token_text(tokenizer, row_ids[shared : shared + 2])!r}, as in training rows",
                    f"{token_text(tokenizer, prompt_ids[shared:])!r}, and then {word!r}",
                    "take the white space at the end of the generation prompt out of tokenizer.chat_template",
                )
            ]
    return []


def _prompt_agrees(
    tokenizer: PreTrainedTokenizerBase, roles: Sequence[str], shown: Frame, habits: ChatProbe, **options: Any
) -> list[Finding]:
    messages = sentinel_messages(roles, habits.parts)
    prompt = render(tokenizer, messages[:-1], generation_prompt=True, **options)
    answer_start = len(shown.text) - len(shown.literals[-1]) - len(shown.sentinels[-1])
    header_start = answer_start - len(shown.literals[-2])
    agreed = first_difference(prompt, shown.text)
    left_in_row = shown.text[_before_open_tag(shown.text, agreed) : answer_start]
    prompt_ids = encode(tokenizer, messages[:-1], generation_prompt=True, **options)
    row_ids = encode(tokenizer, messages, **options)
    shared = first_difference(prompt_ids, row_ids)
    left_in_prompt = token_text(tokenizer, prompt_ids[shared:])
    opens = not left_in_row.strip() or agreed > _context_end(tokenizer, messages[:-1], shown.text, **options)
    names_role = agreed >= header_start + _role_name_end(shown.literals[-2], habits, tokenizer)
    goes_on = not left_in_prompt or (not left_in_row and left_in_prompt.strip()) or TAGS_ONLY.fullmatch(left_in_row)
    if opens and names_role and goes_on:
        return []
    return [
        Finding(
            "the generation prompt is not what training rows have before an answer"
            + (" when tools are offered" if options else ""),
            f"turn {len(roles) // 2}, token {shared}: {token_text(tokenizer, row_ids[max(0, shared - 6) : shared])!r} "
            "is the last that both share",
            f"{shown.text[min(agreed, header_start) : answer_start][:80]!r} before the answer",
            f"the prompt goes on with {left_in_prompt[:80]!r}" if left_in_prompt else "the prompt ends there",
            "let the add_generation_prompt branch of tokenizer.chat_template write the assistant's header exactly as "
            "the loop over messages writes it, without a trailing space",
        )
    ]


def _before_open_tag(text: str, at: int) -> int:
    """The position itself, or the start of the tag that it falls into."""
    start = text.rfind("<", 0, at)
    return start if start >= 0 and ">" not in text[start:at] else at


def _context_end(tokenizer: PreTrainedTokenizerBase, context: list[dict[str, Any]], text: str, **options: Any) -> int:
    """How far a row agrees with the conversation before the answer, rendered without a generation prompt."""
    try:
        return first_difference(render(tokenizer, context, **options), text)
    except REFUSALS:
        return 0


def _role_name_end(header: str, habits: ChatProbe, tokenizer: PreTrainedTokenizerBase) -> int:
    """Where in the assistant's header its role has been told apart from the user's: the end of the differing word."""
    going_on = frame(tokenizer, ("user", "assistant", "user"), parts=habits.parts)
    if going_on is None:
        return 0
    word = re.compile(r"\w*").match(header, first_difference(header, going_on.literals[2]))
    return word.end() if word else 0
