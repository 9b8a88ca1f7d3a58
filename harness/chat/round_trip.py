"""What must hold of a tokenizer and its chat template before a single row is trained. Empty lists: it holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.chat.control import first_difference, plain_ids, token_text
from harness.chat.frame import ONE_TURN, SEVERAL_TURNS, sentinel_messages, sentinels, split_at
from harness.chat.probe import ChatProbe, leading_bos
from harness.chat.template import REFUSALS, encode, render
from harness.records import Finding

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


RICH_CONTENT = (
    "First Line, with \"Double\" & 'single' quotes; 3 < 4 > 2, 100 % of {braces} and [brackets].\n"
    "\tdef Indented(x):  return x  # two  spaces\n"
    "Zweite Zeile: Ä Ö ü ß – naïve café 🙂\n第二行：今天天气很好。\n"
    "And a Last Line, so long that whoever keeps only the beginning of a message does not get as far as this End."
)
"""What people write, in one message: several lines, both cases, quotes, brackets, other scripts, some length."""


def messages_survive(tokenizer: PreTrainedTokenizerBase, habits: ChatProbe) -> list[Finding]:
    """Every content comes out of rendering and tokenisation once and in order; a role is taken or refused, not lost."""
    conversations: list[Sequence[str]] = [ONE_TURN]
    if habits.roles["system"] != "refused":
        conversations.append(("system", *ONE_TURN))
    if habits.continues:
        conversations.append(SEVERAL_TURNS)
        conversations.append((*SEVERAL_TURNS, "user"))
        conversations.append(ONE_TURN * 6)
    findings = _rich_content_survives(tokenizer, habits)
    for roles in conversations:
        try:
            ids = encode(tokenizer, sentinel_messages(roles, habits.parts))
        except REFUSALS:
            continue
        text = token_text(tokenizer, ids)
        words = sentinels(roles)
        if split_at(text, words) is not None:
            continue
        wrong = [f"{role} ({text.count(word)} times)" for role, word in zip(roles, words, strict=True)]
        findings.append(
            Finding(
                "the template loses, doubles or reorders messages",
                f"a conversation of {', '.join(roles)}",
                "each content once, in the order of the messages",
                f"{', '.join(wrong)} in {text[:120]!r}",
                "repair the loop over messages in tokenizer.chat_template; a role that is not supported should raise",
            )
        )
    return findings


def _rich_content_survives(tokenizer: PreTrainedTokenizerBase, habits: ChatProbe) -> list[Finding]:
    """A content is written as it is, but for white space at its ends: nothing cut, escaped, lowered or joined."""
    findings = []
    for role in ONE_TURN:
        messages = sentinel_messages(ONE_TURN, habits.parts)
        message = messages[ONE_TURN.index(role)]
        message["content"] = [{"type": "text", "text": RICH_CONTENT}] if habits.parts else RICH_CONTENT
        try:
            written = render(tokenizer, messages)
        except REFUSALS:
            continue
        if RICH_CONTENT.strip() in written:
            continue
        kept = next(n for n in range(len(RICH_CONTENT), -1, -1) if RICH_CONTENT[:n] in written)
        findings.append(
            Finding(
                f"the template changes what the {role} says",
                f"character {kept} of {len(RICH_CONTENT)} of a {role} message",
                f"{RICH_CONTENT[max(0, kept - 20) : kept + 20]!r}",
                "the content is not written as it is: it is cut, escaped or rewritten",
                f"let tokenizer.chat_template write message['content'] of the {role} without filters (trim is fine)",
            )
        )
    return findings


def bos_is_single(tokenizer: PreTrainedTokenizerBase, habits: ChatProbe) -> list[Finding]:
    """A row and a prompt start with the same number of BOS tokens, none or one."""
    findings = []
    user = sentinel_messages(["user"], habits.parts)
    prompt_run = leading_bos(encode(tokenizer, user, generation_prompt=True), tokenizer.bos_token_id)
    for what, run in (("a training row", habits.bos_run), ("a prompt of inference", prompt_run)):
        if run > 1:
            findings.append(
                Finding(
                    f"{what} starts with {run} BOS tokens",
                    "the ids of apply_chat_template",
                    "none or one",
                    f"{run} times {tokenizer.bos_token!r}",
                    "write bos_token in the template or let the tokenizer add it, not both",
                )
            )
    if prompt_run != habits.bos_run:
        findings.append(
            Finding(
                "training rows and prompts of inference start differently",
                "the leading BOS tokens",
                f"as many as in a training row: {habits.bos_run}",
                f"{prompt_run} in a prompt",
                "write bos_token in the template whether or not add_generation_prompt is set",
            )
        )
    return findings


def rendering_is_repeatable(tokenizer: PreTrainedTokenizerBase, habits: ChatProbe) -> list[Finding]:
    """The same conversation renders to the same text, and its ids are those of the rendered text."""
    messages = sentinel_messages(ONE_TURN, habits.parts)
    texts = {render(tokenizer, messages) for _ in range(3)}
    findings = []
    if len(texts) > 1:
        findings.append(
            Finding(
                "the template renders one conversation differently each time",
                "a user message and an answer",
                "the same text",
                f"{len(texts)} texts in 3 renderings",
                "take whatever is random out of tokenizer.chat_template",
            )
        )
    written = plain_ids(tokenizer, texts.pop())
    given = encode(tokenizer, messages)
    if not findings and written != given:
        at = first_difference(written, given)
        findings.append(
            Finding(
                "apply_chat_template gives other ids than the text that it renders",
                f"token {at}",
                token_text(tokenizer, written[at : at + 4]),
                token_text(tokenizer, given[at : at + 4]),
                "compare apply_chat_template of this tokenizer class with that of PreTrainedTokenizerFast",
            )
        )
    return findings
