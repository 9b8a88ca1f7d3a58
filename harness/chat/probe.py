"""What a chat template does, learned by rendering sentinels: nothing here knows a model family."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from harness.chat.control import control_ids, control_ids_in, first_difference, plain_ids, token_text
from harness.chat.frame import Frame, frame, sentinel_messages, sentinels, wants_parts
from harness.chat.template import REFUSALS, encode, has_generation_markers, render, template_digest
from harness.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

RoleSupport = Literal["own turn", "merged", "refused", "lost"]


@dataclass(frozen=True)
class ChatProbe:
    """A template's habits.

    ``terminator_id`` ends an assistant turn (None: no control token does); ``closing_ids`` holds every control token
    that may stand at the end of one. ``ends_last_turn`` tells that the terminator is also written after the last turn;
    where it is not, the next role's marker is what ends a turn. ``bos_run`` counts the BOS tokens that a row starts
    with. ``roles`` says for ``system`` and ``tool`` whether the role has a turn of its own, is merged into another
    turn, is refused with an error, or is lost without a word. ``prefix_preserving`` tells that a row starts with the
    ids that the model is prompted with at inference; ``continues`` that a conversation may have several turns.
    """

    terminator_id: int | None
    terminator: str
    closing_ids: frozenset[int]
    ends_last_turn: bool
    bos_run: int
    roles: Mapping[str, RoleSupport]
    default_system: str
    strips_content: bool
    generation_prompt: str
    generation_prompt_ids: tuple[int, ...]
    assistant_header: str
    prefix_preserving: bool
    continues: bool
    parts: bool
    generation_markers: bool
    digest: str
    notes: tuple[str, ...]


def probe(tokenizer: PreTrainedTokenizerBase) -> ChatProbe:
    """Learn the habits of the tokenizer's chat template.

    Raises:
        ModelError: the template renders no user message, or no answer to one.

    """
    parts = wants_parts(tokenizer)
    single = frame(tokenizer, ["user", "assistant"], parts=parts)
    if single is None:
        raise ModelError(
            "the chat template loses or refuses an assistant message that answers a user message, so there is no turn "
            "to train or to check: compare tokenizer.chat_template with that of the base model"
        )
    going_on = frame(tokenizer, ["user", "assistant", "user"], parts=parts)
    generation_prompt_ids = _generation_prompt(tokenizer, parts)
    generation_prompt = token_text(tokenizer, generation_prompt_ids)
    ending = _ending(tokenizer, single, going_on, generation_prompt_ids)
    return ChatProbe(
        terminator_id=ending.terminator_id,
        terminator="" if ending.terminator_id is None else token_text(tokenizer, ending.terminator_id),
        closing_ids=ending.closing_ids,
        ends_last_turn=ending.ends_last_turn,
        bos_run=leading_bos(encode(tokenizer, sentinel_messages(["user", "assistant"], parts)), tokenizer.bos_token_id),
        roles={"system": _system_support(tokenizer, parts), "tool": _tool_support(tokenizer, parts)},
        default_system=_default_system(tokenizer, parts),
        strips_content=_strips_content(tokenizer, parts),
        generation_prompt=generation_prompt,
        generation_prompt_ids=tuple(generation_prompt_ids),
        assistant_header=_assistant_header(single, generation_prompt),
        prefix_preserving=_is_prefix_preserving(tokenizer, parts),
        continues=going_on is not None,
        parts=parts,
        generation_markers=has_generation_markers(tokenizer),
        digest=template_digest(tokenizer),
        notes=_notes(tokenizer, parts, going_on),
    )


def leading_bos(ids: list[int] | tuple[int, ...], bos_id: int | None) -> int:
    """How many BOS tokens a row starts with."""
    return next((n for n, i in enumerate(ids) if i != bos_id), len(ids)) if bos_id is not None else 0


@dataclass(frozen=True)
class _Ending:
    terminator_id: int | None
    closing_ids: frozenset[int]
    ends_last_turn: bool


def _ending(
    tokenizer: PreTrainedTokenizerBase, single: Frame, going_on: Frame | None, generation_prompt: list[int]
) -> _Ending:
    """The control tokens that follow an assistant's content: those that a next turn does not change, first of all."""
    candidates = control_ids(tokenizer) - set(generation_prompt)

    def closers(ids: list[int]) -> list[int]:
        return [i for i in ids if i in candidates]

    last_ids = plain_ids(tokenizer, single.literals[-1])
    next_ids = last_ids if going_on is None else plain_ids(tokenizer, going_on.literals[2])
    after_last, after_middle = closers(last_ids), closers(next_ids)
    shared = closers(last_ids[: first_difference(last_ids, next_ids)])
    if shared:
        return _Ending(shared[-1], frozenset(shared + after_last), ends_last_turn=True)
    if after_last:
        # The last turn ends by a token of its own; a turn before it may end by what ends the user's turns too.
        user_closers = control_ids_in(tokenizer, single.literals[1])
        middle = [i for i in after_middle[:1] if i in user_closers]
        return _Ending(after_last[0], frozenset(after_last + middle), ends_last_turn=True)
    if after_middle:
        return _Ending(after_middle[0], frozenset(after_middle[:1]), ends_last_turn=False)
    return _Ending(None, frozenset(), ends_last_turn=False)


def _generation_prompt(tokenizer: PreTrainedTokenizerBase, parts: bool) -> list[int]:
    """What ``add_generation_prompt`` adds to a conversation that waits for an answer; nothing for some templates."""
    messages = sentinel_messages(["user"], parts)
    prompted = encode(tokenizer, messages, generation_prompt=True)
    try:
        plain = encode(tokenizer, messages)
    except REFUSALS:
        written = render(tokenizer, messages, generation_prompt=True)
        return plain_ids(tokenizer, written.rpartition(sentinels(["user"])[0])[2])
    return prompted[first_difference(prompted, plain) :]


def _assistant_header(single: Frame, generation_prompt: str) -> str:
    """The text that opens an assistant turn in a row: the part of the generation prompt that rows have, if it has any.

    Where a template has no generation prompt, all that stands between the user's content and the answer.
    """
    between = single.literals[1]
    for length in range(len(generation_prompt.rstrip()), 0, -1):
        head = generation_prompt[:length]
        if head in between:
            return head
    return between.strip()


def _is_prefix_preserving(tokenizer: PreTrainedTokenizerBase, parts: bool) -> bool:
    for roles in (["user", "assistant"], ["user", "assistant", "user", "assistant"]):
        try:
            prompt = encode(tokenizer, sentinel_messages(roles[:-1], parts), generation_prompt=True)
            row = encode(tokenizer, sentinel_messages(roles, parts))
        except REFUSALS:
            continue
        if row[: len(prompt)] != prompt:
            return False
    return True


def _system_support(tokenizer: PreTrainedTokenizerBase, parts: bool) -> RoleSupport:
    messages = sentinel_messages(["system", "user"], parts)
    try:
        text = render(tokenizer, messages, generation_prompt=True)
    except REFUSALS:
        return "refused"
    system, user = sentinels(["system", "user"])
    if system not in text:
        return "lost"
    alone = frame(tokenizer, ["user"], generation_prompt=True, parts=parts)
    between = text.partition(system)[2].partition(user)[0]
    header = _common_suffix(between, alone.literals[0]) if alone is not None else ""
    return "own turn" if header.strip() else "merged"


def _tool_support(tokenizer: PreTrainedTokenizerBase, parts: bool) -> RoleSupport:
    call = {"type": "function", "id": "callabcde", "function": {"name": "look_up", "arguments": {"word": "tree"}}}
    user, _, tool, answer = sentinel_messages(["user", "assistant", "tool", "assistant"], parts)
    asked = {"role": "assistant", "content": "", "tool_calls": [call]}
    told = {**tool, "name": "look_up", "tool_call_id": "callabcde"}
    try:
        text = render(tokenizer, [user, asked, told, answer])
    except REFUSALS:
        return "refused"
    return "own turn" if sentinels(["user", "assistant", "tool"])[2] in text else "lost"


def _default_system(tokenizer: PreTrainedTokenizerBase, parts: bool) -> str:
    """The system text that the template writes of its own accord where a conversation has none."""
    with_system = frame(tokenizer, ["system", "user"], generation_prompt=True, parts=parts)
    alone = frame(tokenizer, ["user"], generation_prompt=True, parts=parts)
    if with_system is None or alone is None:
        return ""
    before, between, written = with_system.literals[0], with_system.literals[1], alone.literals[0]
    fits = len(written) > len(before) + len(between) and written.startswith(before) and written.endswith(between)
    return written[len(before) : len(written) - len(between)].strip() if fits else ""


def _strips_content(tokenizer: PreTrainedTokenizerBase, parts: bool) -> bool:
    word = sentinels(["user", "assistant"])[1]
    padded = f" \n{word}\n "
    messages = sentinel_messages(["user", "assistant"], parts)
    messages[1]["content"] = [{"type": "text", "text": padded}] if parts else padded
    return padded not in render(tokenizer, messages)


def _notes(tokenizer: PreTrainedTokenizerBase, parts: bool, going_on: Frame | None) -> tuple[str, ...]:
    """What is legitimate but worth knowing."""
    notes = []
    if parts:
        notes.append("the template takes contents as lists of typed parts only")
    if going_on is None:
        notes.append("the template refuses a conversation that goes on after an answer; only single turns were probed")
    if "strftime_now" in str(tokenizer.get_chat_template()):
        today = datetime.datetime.now(tz=datetime.UTC).date()
        notes.append(f"the template writes the date of the day ({today}): prompts change from day to day")
    rendered = render(tokenizer, sentinel_messages(["user"], parts), generation_prompt=True)
    bos = tokenizer.bos_token_id
    if bos is not None and leading_bos(list(tokenizer(rendered)["input_ids"]), bos) > 1:
        notes.append(
            "text that is rendered first and tokenised afterwards gets a second BOS: "
            "tokenise it with add_special_tokens=False"
        )
    if _content_reaches_controls(tokenizer, parts):
        notes.append(
            "control strings inside a message become control tokens: clean untrusted text, "
            "or pass sanitize_control_tokens=True to apply_chat_template"
        )
    return tuple(notes)


def _content_reaches_controls(tokenizer: PreTrainedTokenizerBase, parts: bool) -> bool:
    """Whether a user who writes the eos token (or what the template ends turns with) gets the control token."""
    eos = tokenizer.eos_token
    if not eos:
        return False
    messages = sentinel_messages(["user"], parts)
    quiet = encode(tokenizer, messages, generation_prompt=True)
    said = f"{sentinels(['user'])[0]}{eos}"
    messages[0]["content"] = [{"type": "text", "text": said}] if parts else said
    return encode(tokenizer, messages, generation_prompt=True).count(tokenizer.eos_token_id) > quiet.count(
        tokenizer.eos_token_id
    )


def _common_suffix(left: str, right: str) -> str:
    return left[len(left) - first_difference(left[::-1], right[::-1]) :]
