"""Messages without a content: nothing is written for what is not there."""

from __future__ import annotations

import re
from itertools import product
from typing import TYPE_CHECKING, Any

from harness.chat.attempt import attempt
from harness.chat.control import first_difference
from harness.chat.frame import sentinel_messages
from harness.chat.probe import ChatProbe
from harness.records import Finding

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

NAMES_OF_NOTHING = re.compile(r"\b(None|null|undefined|nan)\b")

SHOWN = 80
"""Characters of a text that a finding shows."""


def missing_content_is_not_text(tokenizer: PreTrainedTokenizerBase, habits: ChatProbe) -> list[Finding]:
    """A tool call that comes without a text is written as one whose text is empty, or refused.

    The content is null, or the key is not there; some releases of transformers make the one of the other.
    """
    for as_text, absent in product((False, True), ({"content": None}, {})):
        call = {"name": "look_up", "arguments": '{"word": "tree"}' if as_text else {"word": "tree"}}
        empty, missing = (_written(tokenizer, habits, call, content) for content in ({"content": ""}, absent))
        if empty is None or missing is None:
            continue
        for word in NAMES_OF_NOTHING.findall(missing):
            if missing.count(word) > empty.count(word):
                return [_finding(word, missing, first_difference(empty, missing))]
    return []


def _written(
    tokenizer: PreTrainedTokenizerBase, habits: ChatProbe, call: dict[str, Any], content: dict[str, Any]
) -> str | None:
    (user,) = sentinel_messages(["user"], habits.parts)
    calls = [{"type": "function", "id": "callabcde", "function": call}]
    return attempt(tokenizer, [user, {"role": "assistant", **content, "tool_calls": calls}])


def _finding(word: str, written: str, at: int) -> Finding:
    start = max(0, at - SHOWN // 2)
    return Finding(
        f"a missing content is written as the word {word!r}",
        "an assistant message that has tool_calls and no content",
        "what is written where the content is empty",
        f"{written[start : start + SHOWN]!r}",
        "write {{ message['content'] or '' }} in tokenizer.chat_template, or give such messages the content ''",
    )
