"""What must hold of a tokenizer and its chat template before a single row is trained. Empty lists: it holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.chat.abilities import TOOL
from harness.chat.attempt import attempt
from harness.chat.contents import contents_are_kept
from harness.chat.control import first_difference, plain_ids, token_text
from harness.chat.frame import ONE_TURN, SEVERAL_TURNS, sentinel_messages, sentinels, split_at
from harness.chat.probe import ChatProbe, leading_bos
from harness.chat.template import REFUSALS, encode, render
from harness.records import Finding

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def messages_survive(tokenizer: PreTrainedTokenizerBase, habits: ChatProbe) -> list[Finding]:
    """Every content comes out of rendering and tokenisation once and in order; a role is taken or refused, not lost."""
    conversations: list[Sequence[str]] = [ONE_TURN]
    if habits.roles["system"] != "refused":
        conversations.append(("system", *ONE_TURN))
    if habits.continues:
        conversations.append(SEVERAL_TURNS)
        conversations.append((*SEVERAL_TURNS, "user"))
        conversations.append(ONE_TURN * 6)
    findings = contents_are_kept(tokenizer, habits)
    for roles in conversations:
        if not _survives(tokenizer, habits, roles):
            findings.append(_lost(tokenizer, habits, roles))
        elif habits.tools_on_offer == "taken" and not _survives(tokenizer, habits, roles, tools=[TOOL]):
            findings.append(_lost(tokenizer, habits, roles, tools=[TOOL]))
    return findings


def _survives(tokenizer: PreTrainedTokenizerBase, habits: ChatProbe, roles: Sequence[str], **options: Any) -> bool:
    """Whether each content is in the ids once and in order; a conversation that is refused loses nothing."""
    try:
        ids = encode(tokenizer, sentinel_messages(roles, habits.parts), **options)
    except REFUSALS:
        return True
    return split_at(token_text(tokenizer, ids), sentinels(roles)) is not None


def _lost(tokenizer: PreTrainedTokenizerBase, habits: ChatProbe, roles: Sequence[str], **options: Any) -> Finding:
    messages = sentinel_messages(roles, habits.parts)
    words = dict(zip(sentinels(roles), roles, strict=True))
    text = token_text(tokenizer, encode(tokenizer, messages, **options))
    found = ", ".join(f"{role} ({text.count(word)} times)" for word, role in words.items()) + f" in {text[:120]!r}"
    remedy = "repair the loop over messages in tokenizer.chat_template; a role that is not supported should raise"
    lost = [word for word in words if word not in text]
    prompt = attempt(tokenizer, messages[:-1], generation_prompt=True, **options) if roles[-1] == "assistant" else None
    if lost and prompt is not None and all(word in prompt for word in lost):
        who = " and the ".join(words[word] for word in lost)
        found = f"the {who} message is written in a prompt, lost in a row: {found}"
        remedy = (
            "let tokenizer.chat_template write it whoever speaks last: it looks at the last message, which is the "
            "user's in a prompt and the assistant's in a row"
        )
    return Finding(
        "the template loses, doubles or reorders messages" + (" when tools are offered" if options else ""),
        f"a conversation of {', '.join(roles)}",
        "each content once, in the order of the messages",
        found,
        remedy,
    )


def bos_is_single(tokenizer: PreTrainedTokenizerBase, habits: ChatProbe) -> list[Finding]:
    """A row and a prompt start with the same number of BOS tokens, none or one, and BOS has no other place."""
    findings = _bos_stands_first(tokenizer, habits)
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


def _bos_stands_first(tokenizer: PreTrainedTokenizerBase, habits: ChatProbe) -> list[Finding]:
    """A row that has a BOS token, which is no eos token, begins with it; it may stand in later places as well."""
    ids = encode(tokenizer, sentinel_messages(ONE_TURN, habits.parts))
    bos = tokenizer.bos_token_id
    if bos is None or bos == tokenizer.eos_token_id or bos not in ids or ids[0] == bos:
        return []
    return [
        Finding(
            "the BOS token does not stand first in a training row",
            f"token {ids.index(bos)} of a row of {', '.join(ONE_TURN)}",
            f"{tokenizer.bos_token!r} as the first token",
            f"{token_text(tokenizer, ids[: ids.index(bos)])!r} before it",
            "take what stands before bos_token, such as a line break, out of tokenizer.chat_template",
        )
    ]


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
