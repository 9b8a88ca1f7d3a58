"""Tools, calls and results: what a template says it writes, it writes whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

from harness.chat.attempt import attempt
from harness.chat.frame import message, sentinel, sentinels
from harness.chat.probe import ChatProbe
from harness.records import Finding

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

NAMES = (sentinel(0, "function"), sentinel(1, "function"))
KEY = sentinel(0, "key")
WORDS = (sentinel(0, "value"), sentinel(1, "value"))
NUMBER = 40719
ARGUMENTS = {KEY: f'{WORDS[0]} "{WORDS[1]}"', "count": NUMBER}
"""A text with quotes in it, and a number: what is escaped twice, or written by Python, looks different."""

RESULT = sentinel(0, "result")
IDS = ("callabcde", f"functions.{NAMES[0]}:0")
"""Some templates want nine letters, others write the id in place of the name, which is then a part of it."""

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": f"{sentinel(number, 'description')}.",
            "parameters": {
                "type": "object",
                "properties": {sentinel(number, "key"): {"type": "string", "description": "A word."}},
                "required": [sentinel(number, "key")],
            },
        },
    }
    for number, name in enumerate(NAMES)
]


@dataclass(frozen=True)
class Written:
    """A conversation with a call, whether the template took notice of the call, and what is wrong with the text."""

    text: str
    calls_are_read: bool
    faults: tuple[str, ...]


def tools_are_written_whole(tokenizer: PreTrainedTokenizerBase, habits: ChatProbe) -> list[Finding]:
    """Tools on offer, calls and results reach the text, where the template takes them at all.

    A call comes in several forms (arguments as a mapping or as JSON text, a content that is empty or missing): one that
    is written whole is enough, since templates differ in the form that they take. What is refused, or never looked at,
    is not supported and no finding.
    """
    return [*_offers_are_written(tokenizer, habits), *_turns_are_written(tokenizer, habits)]


def _offers_are_written(tokenizer: PreTrainedTokenizerBase, habits: ChatProbe) -> list[Finding]:
    (user,) = sentinels(["user"])
    asked = [message("user", user, habits.parts)]
    alone = attempt(tokenizer, asked, generation_prompt=True)
    offered = attempt(tokenizer, asked, generation_prompt=True, tools=TOOLS)
    if offered is None or offered == alone or NAMES[0] not in offered:
        return []
    parts = [*NAMES, *(sentinel(number, part) for number in range(2) for part in ("description", "key"))]
    lost = [part for part in parts if part not in offered]
    if not lost:
        return []
    return [
        Finding(
            "tools on offer are not written whole",
            f"two tools and a user message; the name of one is {NAMES[0]!r}",
            "name, description and parameters of both tools",
            f"nothing of {', '.join(map(repr, lost))} in {offered[:160]!r}",
            "write every tool with tool | tojson in tokenizer.chat_template",
        )
    ]


def _turns_are_written(tokenizer: PreTrainedTokenizerBase, habits: ChatProbe) -> list[Finding]:
    written = []
    for each in _written_forms(tokenizer, habits):
        if each.calls_are_read and not each.faults:
            return []
        written.append(each)
    best = min(written, key=lambda each: (not each.calls_are_read, len(each.faults)), default=None)
    if best is None or not best.faults:
        return []
    return [
        Finding(
            "a tool call or its result is not written whole",
            "a user message, a tool call, its result and an answer",
            "name, arguments and result, each as it is given",
            f"{'; '.join(best.faults)}, in {best.text.partition(sentinels(['user'])[0])[2][:240]!r}",
            "write name and arguments | tojson of every call, and the content of every tool message, in "
            "tokenizer.chat_template; what it does not support should raise",
        )
    ]


def _written_forms(tokenizer: PreTrainedTokenizerBase, habits: ChatProbe) -> Iterator[Written]:
    """Every form of a call that the template takes."""
    for call_id, as_text, empty, tools in product(IDS, (False, True), (True, False), (TOOLS, None)):
        user, asked, told, answer = _conversation(habits, call_id, as_text, empty)
        text = attempt(tokenizer, [user, asked, told, answer], tools=tools)
        if text is None:
            continue
        uncalled = {key: value for key, value in asked.items() if key != "tool_calls"}
        without = attempt(tokenizer, [user, uncalled, told, answer], tools=tools)
        calls_are_read = _says_more(text, without)
        results_are_read = _says_more(text, attempt(tokenizer, [user, asked, answer], tools=tools))
        faults = _faults_of_calls(text, without or "") if calls_are_read else []
        if (calls_are_read or results_are_read) and RESULT not in text:
            faults.append(f"the result {RESULT!r} is lost")
        yield Written(text, calls_are_read, tuple(faults))


def _says_more(text: str, without: str | None) -> bool:
    """Whether there is more than white space to what was added."""
    return without is None or text.split() != without.split()


def _conversation(habits: ChatProbe, call_id: str, as_text: bool, empty: bool) -> list[dict[str, Any]]:
    """A question, a call, its result and an answer; ``empty`` gives the call an empty content, else it has none."""
    function = {"name": NAMES[0], "arguments": json.dumps(ARGUMENTS) if as_text else ARGUMENTS}
    call = {"id": call_id, "type": "function", "function": function}
    user, answer = sentinels(["user", "assistant"])
    silent = message("assistant", "", habits.parts) if empty else {"role": "assistant"}
    return [
        message("user", user, habits.parts),
        silent | {"tool_calls": [call]},
        message("tool", RESULT, habits.parts) | {"name": NAMES[0], "tool_call_id": call_id},
        message("assistant", answer, habits.parts),
    ]


def _faults_of_calls(text: str, without: str) -> list[str]:
    """What a call has lost; ``without`` is the text without it, since tools on offer and results have names too."""
    words = (NAMES[0], KEY, *WORDS, str(NUMBER))
    faults = [f"{word!r} of the call is lost" for word in words if text.count(word) <= without.count(word)]
    if f'\\"{KEY}\\"' in text or f'\\\\\\"{WORDS[1]}' in text:
        faults.append("the arguments are put in quotes and escaped twice")
    if f"'{KEY}':" in text:
        faults.append("the arguments are written as Python writes a dict, which is no JSON")
    return faults
