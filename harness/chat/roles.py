"""Who speaks can be told from the text: an answer is not framed as a question is, nor a system message as an answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.chat.attempt import attempt
from harness.chat.endings import NAMES_SOMEBODY
from harness.chat.frame import ONE_TURN, SEVERAL_TURNS, frame, message, sentinels
from harness.chat.probe import ChatProbe
from harness.records import Finding

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def roles_are_told_apart(tokenizer: PreTrainedTokenizerBase, habits: ChatProbe) -> list[Finding]:
    """What stands around a content tells its role, be it before the content or after it.

    A system message may stand in the user's turn, or be a turn like the user's; it may not pose as an answer.
    """
    return _answers_are_not_questions(tokenizer, habits) or _system_messages_are_not_answers(tokenizer, habits)


def _answers_are_not_questions(tokenizer: PreTrainedTokenizerBase, habits: ChatProbe) -> list[Finding]:
    shown = frame(tokenizer, SEVERAL_TURNS, parts=habits.parts)
    if shown is None:
        return []
    _, after_user, after_answer, _, _ = shown.literals
    asked_thrice = _written(tokenizer, habits, ("user",) * 3)
    if after_user != after_answer and asked_thrice != _written(tokenizer, habits, SEVERAL_TURNS[:3]):
        return []
    return [
        Finding(
            "the template frames user and assistant alike, so nobody can tell who speaks",
            f"the conversation {', '.join(SEVERAL_TURNS)}",
            "a header or an ending of its own for each role",
            f"{after_user[:80]!r} between a question and its answer, and {after_answer[:80]!r} between an answer and "
            "the next question; the name of the role changes nothing",
            "write message['role'], or a marker that stands for it, in tokenizer.chat_template",
        )
    ]


def _system_messages_are_not_answers(tokenizer: PreTrainedTokenizerBase, habits: ChatProbe) -> list[Finding]:
    shown = frame(tokenizer, ("system", *ONE_TURN), parts=habits.parts)
    header = habits.assistant_header.strip()
    if shown is None or not NAMES_SOMEBODY.search(header) or not shown.literals[0].rstrip().endswith(header):
        return []
    return [
        Finding(
            "the template writes a system message as if the assistant had said it",
            "the conversation system, user, assistant",
            "a turn of its own, a part of the user's turn, or a refusal",
            f"{shown.literals[0][-80:]!r} before the system message, as before an answer",
            "give the system role a branch of its own in tokenizer.chat_template, or raise_exception there",
        )
    ]


def _written(tokenizer: PreTrainedTokenizerBase, habits: ChatProbe, roles: Sequence[str]) -> str | None:
    """A conversation of these roles whose contents do not depend on them."""
    words = sentinels(["word"] * len(roles))
    return attempt(tokenizer, [message(role, word, habits.parts) for role, word in zip(roles, words, strict=True)])
