"""Tools, calls and results: what a template says it writes, it writes whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
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
WORDS = (sentinel(0, "value"), sentinel(1, "value"), sentinel(2, "value"))
NUMBER = 40719

ARGUMENTS: tuple[dict[str, Any], ...] = (
    {KEY: f'{WORDS[0]} "{WORDS[1]}"', "count": NUMBER},
    {KEY: WORDS[2], "count": NUMBER},
)
"""The second call's are those of the first with another word, so that neither can stand for the other."""

RESULTS = (sentinel(0, "result"), sentinel(1, "result"))
IDS = ("callabcde", "callbcdef")

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


def tools_are_written_whole(tokenizer: PreTrainedTokenizerBase, habits: ChatProbe) -> list[Finding]:
    """Tools on offer, calls and results reach the text, where the template takes them at all.

    Calls come in several forms (arguments as a mapping or as JSON text, a content that is empty or missing): one form
    that is written whole is enough, since templates differ in the form that they take. What is refused, or never
    looked at, is not supported and no finding.
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
    """One call and its result; two calls and theirs, where the template takes two."""
    for calls in (1, 2):
        tried = list(_tried(tokenizer, habits, calls))
        if not tried:
            return []
        faults, text = min(tried, key=lambda each: len(each[0]))
        if faults:
            return [
                Finding(
                    "tool calls or their results are not written whole",
                    "a user message, a tool call, its result and an answer" if calls == 1 else "two calls at once",
                    "names, arguments and results, each as it is given",
                    f"{'; '.join(faults)}, in {text.partition(sentinels(['user'])[0])[2][:240]!r}",
                    "write name and arguments | tojson of every call, and the content of every tool message, in "
                    "tokenizer.chat_template; what it does not support should raise",
                )
            ]
    return []


def _tried(tokenizer: PreTrainedTokenizerBase, habits: ChatProbe, calls: int) -> Iterator[tuple[list[str], str]]:
    """What is wrong with each form that the template takes, and its text."""
    for as_text, empty, tools in product((False, True), (True, False), (TOOLS, None)):
        user, asked, told, answer = _conversation(habits, calls, as_text, empty)
        text = attempt(tokenizer, [user, asked, *told, answer], tools=tools)
        if text is None:
            continue
        uncalled = {"content": ""} | {key: value for key, value in asked.items() if key != "tool_calls"}
        calls_are_read = text != attempt(tokenizer, [user, uncalled, *told, answer], tools=tools)
        results_are_read = text != attempt(tokenizer, [user, asked, answer], tools=tools)
        faults = _faults_of_calls(text, calls) if calls_are_read else []
        if calls_are_read or results_are_read:
            faults += [f"the result {result!r} is lost" for result in RESULTS[:calls] if result not in text]
        yield faults, text


def _conversation(
    habits: ChatProbe, calls: int, as_text: bool, empty: bool
) -> tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]], dict[str, Any]]:
    """A question, the calls, their results and an answer; ``empty`` gives the calls an empty content, else none."""
    asked = [
        {
            "id": call_id,
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(arguments) if as_text else arguments},
        }
        for call_id, name, arguments in zip(IDS, NAMES, ARGUMENTS, strict=True)
    ]
    told = [
        message("tool", result, habits.parts) | {"name": name, "tool_call_id": call_id}
        for result, name, call_id in zip(RESULTS, NAMES, IDS, strict=True)
    ]
    user, answer = sentinels(["user", "assistant"])
    silent = message("assistant", "", habits.parts) if empty else {"role": "assistant"}
    return (
        message("user", user, habits.parts),
        silent | {"tool_calls": asked[:calls]},
        told[:calls],
        message("assistant", answer, habits.parts),
    )


def _faults_of_calls(text: str, calls: int) -> list[str]:
    words = [*NAMES[:calls], KEY, str(NUMBER), *(WORDS if calls > 1 else WORDS[:2])]
    faults = [f"{word!r} of a call is lost" for word in words if word not in text]
    if f'\\"{KEY}\\"' in text or f'\\\\\\"{WORDS[1]}' in text:
        faults.append("arguments are put in quotes and escaped twice")
    if f"'{KEY}':" in text:
        faults.append("arguments are written as Python writes a dict, which is no JSON")
    return faults
