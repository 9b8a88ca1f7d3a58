"""What people write comes out as they wrote it: several lines, quotes, capitals, other scripts, of whoever speaks."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from harness.chat.attempt import attempt
from harness.chat.frame import ONE_TURN, SEVERAL_TURNS, message, sentinel_messages, sentinels
from harness.chat.probe import ChatProbe
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

AS_JSON = tuple(json.dumps(RICH_CONTENT, ensure_ascii=ascii_only)[1:-1] for ascii_only in (False, True))
"""Results of tools are data: some templates write them as JSON."""

AFTER_A_CALL = ("user", "assistant", "tool", "assistant")


def contents_are_kept(tokenizer: PreTrainedTokenizerBase, habits: ChatProbe) -> list[Finding]:
    """A content is written as it is, but for white space at its ends: nothing cut, escaped, lowered or joined.

    Every role in a first turn and in later ones; the first place where a role's content is changed is the finding.
    """
    shapes: list[Sequence[str]] = [ONE_TURN]
    if habits.continues:
        shapes.append(SEVERAL_TURNS)
    if habits.roles["system"] not in ("refused", "lost"):
        shapes.append(("system", *ONE_TURN))
    if habits.roles["tool"] not in ("refused", "lost"):
        shapes.append(AFTER_A_CALL)
    findings: dict[str, Finding] = {}
    for roles in shapes:
        for at, role in enumerate(roles):
            # The answer after a call is an answer; the call itself may have no content.
            if role in findings or (roles is AFTER_A_CALL and role != "tool"):
                continue
            written = _written(tokenizer, habits, roles, at)
            forms = (RICH_CONTENT.strip(), *AS_JSON) if role == "tool" else (RICH_CONTENT.strip(),)
            if written is not None and not any(form in written for form in forms):
                findings[role] = _finding(roles, at, written)
    return list(findings.values())


def _written(tokenizer: PreTrainedTokenizerBase, habits: ChatProbe, roles: Sequence[str], at: int) -> str | None:
    """The conversation with the rich content in this place; None where a plain word there is refused or lost."""
    word = sentinels(roles)[at]
    for form in _forms(roles, habits):
        plain = attempt(tokenizer, form(at, word))
        if plain is not None and word in plain:
            return attempt(tokenizer, form(at, RICH_CONTENT))
    return None


def _forms(roles: Sequence[str], habits: ChatProbe) -> list[Callable[[int, str], list[dict[str, Any]]]]:
    """Ways to make the conversation: two where a tool is called, for its arguments may be a mapping or a text."""

    def plainly(at: int, text: str) -> list[dict[str, Any]]:
        messages = sentinel_messages(roles, habits.parts)
        messages[at] = message(roles[at], text, habits.parts)
        return messages

    def with_call(arguments: object) -> Callable[[int, str], list[dict[str, Any]]]:
        call = {"type": "function", "id": "callabcde", "function": {"name": "look_up", "arguments": arguments}}

        def called(at: int, text: str) -> list[dict[str, Any]]:
            user, _, told, answer = plainly(at, text)
            told |= {"name": "look_up", "tool_call_id": "callabcde"}
            return [user, {"role": "assistant", "content": "", "tool_calls": [call]}, told, answer]

        return called

    return [with_call({"word": "tree"}), with_call('{"word": "tree"}')] if roles is AFTER_A_CALL else [plainly]


def _finding(roles: Sequence[str], at: int, written: str) -> Finding:
    role = roles[at]
    kept = next(n for n in range(len(RICH_CONTENT), -1, -1) if RICH_CONTENT[:n] in written)
    return Finding(
        f"the template changes what the {role} says",
        f"character {kept} of {len(RICH_CONTENT)} of a {role} message, message {at} of {', '.join(roles)}",
        f"{RICH_CONTENT[max(0, kept - 20) : kept + 20]!r}",
        "the content is not written as it is: it is cut, escaped or rewritten",
        f"let tokenizer.chat_template write message['content'] of the {role} without filters (trim is fine)",
    )
