"""What a template can be given: roles and their order, white space, tools, reasoning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from harness.chat.attempt import attempt
from harness.chat.control import first_difference
from harness.chat.frame import Frame, frame, message, sentinel, sentinel_messages, sentinels, split_at
from harness.chat.template import without_clock

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Support = Literal["own turn", "as written", "as the user", "merged", "refused", "lost"]
"""What becomes of a role: a turn that the template made for it; a turn with whatever name the role has; a turn of the
user's; a part of another role's turn; an error; nothing at all."""

Order = Literal["taken", "refused", "lost"]
WhiteSpace = Literal["kept", "trimmed", "trimmed before", "trimmed after", "refused"]
ArgumentForm = Literal["mapping", "text"]
Reasoning = Literal["not written", "written", "only in the last turn", "only in earlier turns", "refused"]

OTHER = "any other"
"""Under this name it is told what becomes of a role that no template knows."""

STRANGERS = ("zqxstranger", "zqxforeigner")

OPENING = ("system", "user")

PADDING = "\n \t \n"
"""White space that no template writes of its own accord."""

TOOL = {
    "type": "function",
    "function": {
        "name": sentinel(0, "function"),
        "description": "Look a word up.",
        "parameters": {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]},
    },
}


def roles_of(tokenizer: PreTrainedTokenizerBase, single: Frame, parts: bool) -> dict[str, Support]:
    """What becomes of each role; ``single`` shows a user's message and an answer."""
    before, between, after = single.literals
    return {
        "system": opening_support(tokenizer, "system", parts),
        "user": "own turn" if (before + between).strip() else "merged",
        "assistant": "own turn" if (between + after).strip() else "merged",
        "tool": _tool_support(tokenizer, parts),
        "developer": _unless_as_written(tokenizer, "developer", parts),
        OTHER: _unless_as_written(tokenizer, STRANGERS[0], parts),
    }


def opening_support(tokenizer: PreTrainedTokenizerBase, role: str, parts: bool) -> Support:
    """What becomes of a message of this role at the start of a conversation."""
    words = sentinels(OPENING)
    text = _opened_by(tokenizer, role, parts)
    if text is None:
        return "refused"
    if words[0] not in text:
        return "lost"
    if text == _opened_by(tokenizer, "user", parts):
        return "as the user"
    alone = frame(tokenizer, ["user"], generation_prompt=True, parts=parts)
    between = text.partition(words[0])[2].partition(words[1])[0]
    header = _common_suffix(between, alone.literals[0]) if alone is not None else ""
    return "own turn" if header.strip() else "merged"


def default_system(tokenizer: PreTrainedTokenizerBase, parts: bool) -> str:
    """The system text that the template writes of its own accord where a conversation has none, the same every day."""
    stopped = without_clock(tokenizer)
    with_system = frame(tokenizer, ["system", "user"], generation_prompt=True, parts=parts, **stopped)
    alone = frame(tokenizer, ["user"], generation_prompt=True, parts=parts, **stopped)
    if with_system is None or alone is None:
        return ""
    before, between, written = with_system.literals[0], with_system.literals[1], alone.literals[0]
    fits = len(written) > len(before) + len(between) and written.startswith(before) and written.endswith(between)
    return written[len(before) : len(written) - len(between)].strip() if fits else ""


def order(tokenizer: PreTrainedTokenizerBase, roles: Sequence[str], parts: bool) -> Order:
    """Whether a conversation of these roles is written, each message once."""
    text = attempt(tokenizer, sentinel_messages(roles, parts))
    if text is None:
        return "refused"
    return "lost" if split_at(text, sentinels(roles)) is None else "taken"


def white_space(tokenizer: PreTrainedTokenizerBase, role: str, parts: bool) -> WhiteSpace:
    """What becomes of white space around a content of this role, which the template must take."""
    roles = ["user", "assistant"] if role in ("user", "assistant") else [role, "user", "assistant"]
    messages = sentinel_messages(roles, parts)
    word = sentinels(roles)[roles.index(role)]
    messages[roles.index(role)] = message(role, f"{PADDING}{word}{PADDING}", parts)
    text = attempt(tokenizer, messages)
    if text is None:
        return "refused"
    before, after = f"{PADDING}{word}" in text, f"{word}{PADDING}" in text
    if before == after:
        return "kept" if before else "trimmed"
    return "trimmed before" if after else "trimmed after"


def tools_on_offer(tokenizer: PreTrainedTokenizerBase, parts: bool) -> Order:
    """Whether the model is told of the tools that it is offered."""
    answer: Order = "refused"
    for roles in (["user"], OPENING):
        text = attempt(tokenizer, sentinel_messages(roles, parts), generation_prompt=True, tools=[TOOL])
        if text is not None and sentinel(0, "function") in text:
            return "taken"
        answer = answer if text is None else "lost"
    return answer


def argument_forms(tokenizer: PreTrainedTokenizerBase, parts: bool) -> tuple[ArgumentForm, ...]:
    """In which forms the arguments of a tool call reach the text as they are; none where the template writes no calls.

    JSON text that is put in quotes and escaped once more does not count.
    """
    word = sentinel(0, "argument")
    forms: dict[ArgumentForm, Any] = {"mapping": {"word": word}, "text": f'{{"word": "{word}"}}'}
    found: list[ArgumentForm] = []
    for form, arguments in forms.items():
        text = _with_tool_result(tokenizer, "tool", arguments, parts)
        if text is not None and word in text and '\\"' not in text:
            found.append(form)
    return tuple(found)


def keeps_text_beside_a_call(tokenizer: PreTrainedTokenizerBase, form: ArgumentForm, parts: bool) -> bool:
    """Whether what an answer says before it calls a tool is written; ``form`` is one that the template takes."""
    word = sentinel(0, "said")
    arguments = {"word": "tree"} if form == "mapping" else '{"word": "tree"}'
    text = _with_tool_result(tokenizer, "tool", arguments, parts, said=message("assistant", word, parts))
    return text is None or word in text


def reasoning(tokenizer: PreTrainedTokenizerBase, continues: bool, parts: bool) -> Reasoning:
    """In which turns the template writes an answer's ``reasoning_content``: that of earlier turns is often dropped."""
    messages = sentinel_messages(["user", "assistant"] * (2 if continues else 1), parts)
    thoughts = sentinels(["thought"] * (len(messages) // 2))
    for answer, thought in zip(messages[1::2], thoughts, strict=True):
        answer["reasoning_content"] = thought
    text = attempt(tokenizer, messages)
    if text is None:
        return "refused"
    *earlier, last = (thought in text for thought in thoughts)
    if all(earlier) == last:
        return "written" if last else "not written"
    return "only in the last turn" if last else "only in earlier turns"


def _opened_by(tokenizer: PreTrainedTokenizerBase, role: str, parts: bool) -> str | None:
    """A conversation that opens with a message of this role, before one of the user's; None where it is refused."""
    first, user = sentinel_messages(OPENING, parts)
    return attempt(tokenizer, [{**first, "role": role}, user], generation_prompt=True)


def _unless_as_written(tokenizer: PreTrainedTokenizerBase, role: str, parts: bool) -> Support:
    text, strange = _opened_by(tokenizer, role, parts), _opened_by(tokenizer, STRANGERS[1], parts)
    return "as written" if _only_the_name_differs(text, role, strange) else opening_support(tokenizer, role, parts)


def _only_the_name_differs(text: str | None, role: str, strange: str | None) -> bool:
    """Whether a text is that of a role that no template knows but for the name, in small letters or in capitals."""
    if text is None or strange is None or text == strange:
        return False
    return text.casefold() == strange.casefold().replace(STRANGERS[1], role)


def _tool_support(tokenizer: PreTrainedTokenizerBase, parts: bool) -> Support:
    word = sentinels(["user", "assistant", "tool"])[2]
    for arguments in ({"word": "tree"}, '{"word": "tree"}'):
        text = _with_tool_result(tokenizer, "tool", arguments, parts)
        if text is None:
            continue
        if _only_the_name_differs(text, "tool", _with_tool_result(tokenizer, STRANGERS[1], arguments, parts)):
            return "as written"
        return "own turn" if word in text else "lost"
    return "refused"


def _with_tool_result(
    tokenizer: PreTrainedTokenizerBase, role: str, arguments: object, parts: bool, said: dict[str, Any] | None = None
) -> str | None:
    """A question, a tool call, its result in this role, and an answer; None where the template refuses it.

    ``said`` is the message that the call is a part of; an empty one where it is not given.
    """
    call = {"type": "function", "id": "callabcde", "function": {"name": "look_up", "arguments": arguments}}
    user, asked, told, answer = sentinel_messages(["user", "assistant", "tool", "assistant"], parts)
    asked = (said or {"role": "assistant", "content": ""}) | {"tool_calls": [call]}
    told |= {"role": role, "name": "look_up", "tool_call_id": "callabcde"}
    return attempt(tokenizer, [user, asked, told, answer])


def _common_suffix(left: str, right: str) -> str:
    return left[len(left) - first_difference(left[::-1], right[::-1]) :]
