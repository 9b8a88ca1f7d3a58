"""Messages without a content: nothing is written for what is not there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from harness.chat.attempt import attempt
from harness.chat.control import first_difference
from harness.chat.frame import sentinel, sentinel_messages
from harness.chat.probe import ChatProbe
from harness.records import Finding, Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

NAMES_OF_NOTHING = re.compile(r"\b(None|null|undefined|nan)\b")

SHOWN = 80
"""Characters of a text that a finding shows."""

NULL = sentinel(0, "null")
WITH_NULLS = (
    "{% set zqx = namespace(messages=[]) %}{% for m in messages %}"
    f"{{% if m.content == '{NULL}' %}}{{% set m = dict(m, content=none) %}}{{% endif %}}"
    "{% set zqx.messages = zqx.messages + [m] %}{% endfor %}{% set messages = zqx.messages %}"
)
"""Put before a template, it hands null to it as servers do; transformers takes such keys out of a message."""


def missing_content_is_not_text(tokenizer: PreTrainedTokenizerBase, habits: ChatProbe) -> list[Finding]:
    """A call that comes without a text is written as one whose text is empty, or refused.

    Only a template that writes tool calls is asked: to others every message has a content.
    """
    for arguments in ({"word": "tree"}, '{"word": "tree"}'):
        function = {"name": sentinel(0, "function"), "arguments": arguments}
        call = {"type": "function", "id": "callabcde", "function": function}
        findings = _of_a_call(tokenizer, habits, call)
        if findings:
            return findings
    return []


def _of_a_call(tokenizer: PreTrainedTokenizerBase, habits: ChatProbe, call: Message) -> list[Finding]:
    def written(content: str) -> str | None:
        (user,) = sentinel_messages(["user"], habits.parts)
        asked = {"role": "assistant", "content": content, "tool_calls": [call]}
        return attempt(tokenizer, [user, asked], chat_template=WITH_NULLS + str(tokenizer.get_chat_template()))

    empty, null = written(""), written(NULL)
    if empty is None or null is None or sentinel(0, "function") not in empty:
        return []
    invented = [word for word in NAMES_OF_NOTHING.findall(null) if null.count(word) > empty.count(word)]
    if not invented:
        return []
    at = max(0, first_difference(empty, null) - SHOWN // 2)
    return [
        Finding(
            f"a missing content is written as the word {invented[0]!r}",
            "an assistant message with tool_calls whose content is null",
            "what is written where the content is empty",
            f"{null[at : at + SHOWN]!r}",
            "write {{ message['content'] or '' }} in tokenizer.chat_template; recent transformers hide the null, "
            "servers and older releases do not",
        )
    ]
