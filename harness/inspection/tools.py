"""Rows with tools: what the model may call, and what was called, stand in the row as the source says."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from harness.chat.control import token_text
from harness.chat.conversation import Conversation
from harness.inspection.matching import Inspection, place
from harness.inspection.origins import Match
from harness.records import Finding


def tools_of_the_rows_are_rendered(seen: Inspection) -> list[Finding]:
    """Names of tools on offer and of tools called are in the row, and calls have no argument that was filled in."""
    return [*_names_are_written(seen), *_arguments_are_their_own(seen)]


def _names_are_written(seen: Inspection) -> list[Finding]:
    findings = []
    for match in seen.matches:
        source = seen.conversation_of(match)
        if source is None or not _is_complete(match):
            continue
        text = token_text(seen.tokenizer, match.segment.ids)
        offered = [_name(tool) for tool in source.options.get("tools") or ()]
        called = [_name(call) for _, call in _calls(source)]
        lost = [name for name in dict.fromkeys((*offered, *called)) if name and name not in text]
        if lost:
            findings.append(
                Finding(
                    "a tool of the row is not written into it",
                    place(match, 0),
                    f"the tool {lost[0]!r} in the text that the model reads",
                    f"{len(lost)} of {len(set(offered + called))} tools of this row are not in it",
                    "pass tools=row['tools'] to apply_chat_template, and use a chat template that writes tools and "
                    "tool_calls",
                )
            )
    return findings


def _is_complete(match: Match) -> bool:
    """Whether the document goes on to its row's end; what lacks the row's beginning may lack the tools with it."""
    to_its_end = match.likeness == "fragment" and match.segment.ids == match.spans.ids
    return to_its_end or match.likeness in ("whole", "altered")


def _arguments_are_their_own(seen: Inspection) -> list[Finding]:
    """No call has a null argument that only calls of other tools ever fill: Arrow gives all structs the same keys."""
    filled: dict[str, set[str]] = defaultdict(set)
    empty: dict[str, dict[str, tuple[int, int]]] = defaultdict(dict)
    for number, source in enumerate(seen.sources):
        for message, call in _calls(source) if isinstance(source, Conversation) else ():
            for key, value in _arguments(call).items():
                if value is None:
                    empty[_name(call)].setdefault(key, (number, message))
                else:
                    filled[_name(call)].add(key)
    foreign = [
        (name, key, where)
        for name, keys in empty.items()
        for key, where in keys.items()
        if key not in filled[name] and any(key in others for tool, others in filled.items() if tool != name)
    ]
    return [
        Finding(
            "a tool call has an argument that belongs to another tool, with the value null",
            f"training row {row}, message {message}, call of {name!r}",
            f"the arguments of {name!r} alone",
            f"{key!r}: null, which only calls of other tools fill; {len(foreign)} such arguments in the data",
            "keep arguments as JSON text, or build the set with Dataset.from_list(rows, on_mixed_types='use_json')",
        )
        for name, key, (row, message) in foreign[:1]
    ]


def _calls(source: Conversation) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, message in enumerate(source.messages):
        calls = message.get("tool_calls")
        if isinstance(calls, Sequence) and not isinstance(calls, str):
            yield from ((number, call) for call in calls if isinstance(call, Mapping))


def _name(tool: Any) -> str:
    described = tool.get("function", tool) if isinstance(tool, Mapping) else {}
    return str(described.get("name") or "") if isinstance(described, Mapping) else ""


def _arguments(call: Mapping[str, Any]) -> Mapping[str, Any]:
    described = call.get("function") or call
    given = described.get("arguments") if isinstance(described, Mapping) else None
    if isinstance(given, str):
        try:
            given = json.loads(given)
        except ValueError:
            return {}  # not JSON: some templates take calls in a language of their own
    return given if isinstance(given, Mapping) else {}
