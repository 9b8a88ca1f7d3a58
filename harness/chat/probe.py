"""What a chat template does, learned by rendering sentinels: nothing here knows a model family."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.chat import abilities, endings, switches
from harness.chat.abilities import ArgumentForm, Order, Reasoning, Support, WhiteSpace
from harness.chat.control import token_text
from harness.chat.frame import frame, message, sentinel_messages, sentinels, wants_parts
from harness.chat.switches import Effect
from harness.chat.template import encode, has_generation_markers, render, template_digest, without_clock
from harness.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SHOWN = 100
"""Characters of a habit that a reader is shown."""


@dataclass(frozen=True)
class ChatProbe:
    """A template's habits.

    ``terminator_id`` ends an assistant turn (None: no control token does); ``closing_ids`` holds every control token
    that may stand at the end of one. ``ends_last_turn`` tells that the terminator is also written after the last turn;
    where it is not, the next role's marker is what ends a turn. ``bos_run`` counts the BOS tokens that a row starts
    with, ``text_bos_run`` those that the tokenizer puts before plain text. ``roles`` says what becomes of a message of
    each role, ``orders`` of roles that do not take turns, ``white_space`` of what surrounds a content.
    ``variables`` holds what else the template can be given, and what that does. ``prefix_preserving`` tells that a row
    starts with the ids that the model is prompted with at inference; ``continues`` that a conversation may have
    several turns.
    """

    terminator_id: int | None
    terminator: str
    closing_ids: frozenset[int]
    ends_last_turn: bool
    bos_run: int
    text_bos_run: int
    roles: Mapping[str, Support]
    orders: Mapping[str, Order]
    white_space: Mapping[str, WhiteSpace]
    default_system: str
    tools_on_offer: Order
    argument_forms: tuple[ArgumentForm, ...]
    reasoning: Reasoning
    variables: Mapping[str, Effect]
    writes_date: bool
    generation_prompt: str
    generation_prompt_ids: tuple[int, ...]
    assistant_header: str
    prefix_preserving: bool
    continues: bool
    parts: bool
    generation_markers: bool
    digest: str
    notes: tuple[str, ...]

    def __str__(self) -> str:
        table = self.table()
        width = max(map(len, table))
        return "\n".join(
            f"{habit:<{width}}  {value if len(value) <= SHOWN else value[:SHOWN] + '...'}"
            for habit, value in table.items()
        )

    @property
    def summary(self) -> str:
        """The habits that matter most, in one line."""
        table = self.table()
        return "; ".join(f"{habit}: {table[habit]}" for habit in FIRST if habit in table)

    def table(self) -> dict[str, str]:
        """Every habit in words, for a reader and for a record that is compared later."""
        return {
            "an answer ends with": self._ends_with(),
            "closing tokens": ", ".join(map(str, sorted(self.closing_ids))) or "none",
            "BOS before a row": str(self.bos_run),
            "BOS before plain text": str(self.text_bos_run),
            "generation prompt": repr(self.generation_prompt),
            **{f"{role} messages": support for role, support in self.roles.items()},
            **self.orders,
            **{f"white space of {role}": policy for role, policy in self.white_space.items()},
            "default system text": repr(self.default_system) if self.default_system else "none",
            "tools on offer": self.tools_on_offer,
            "arguments of tool calls": " or ".join(self.argument_forms) or "not taken",
            "reasoning": self.reasoning,
            "variables": "; ".join(f"{name}: {effect}" for name, effect in self.variables.items()) or "none",
            "date of the day": "written" if self.writes_date else "not written",
            "contents": "lists of typed parts" if self.parts else "text",
            "several turns": "taken" if self.continues else "refused",
            "rows begin as prompts do": "yes" if self.prefix_preserving else "no",
            GENERATION_MARKS: "yes" if self.generation_markers else "no",
        }

    def _ends_with(self) -> str:
        if self.terminator_id is None:
            return "no control token"
        token = f"{self.terminator!r} (id {self.terminator_id})"
        return token if self.ends_last_turn else f"{token}, which the next message brings"


FIRST = (
    "an answer ends with",
    "BOS before a row",
    "system messages",
    "white space of assistant",
    "default system text",
    "tools on offer",
    "reasoning",
    "variables",
)
GENERATION_MARKS = "{% generation %} marks"
"""The one habit that changes nothing of what a model reads."""


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
    prompt_ids = endings.generation_prompt(tokenizer, parts)
    prompt = token_text(tokenizer, prompt_ids)
    ending = endings.ending(tokenizer, single, going_on, prompt_ids)
    roles = abilities.roles_of(tokenizer, single, parts)
    spaced = [role for role in ("system", "user", "assistant") if roles[role] not in ("refused", "lost")]
    bos = tokenizer.bos_token_id
    return ChatProbe(
        terminator_id=ending.terminator_id,
        terminator="" if ending.terminator_id is None else token_text(tokenizer, ending.terminator_id),
        closing_ids=ending.closing_ids,
        ends_last_turn=ending.ends_last_turn,
        bos_run=leading_bos(encode(tokenizer, sentinel_messages(["user", "assistant"], parts)), bos),
        text_bos_run=leading_bos(list(tokenizer("plain")["input_ids"]), bos),
        roles=roles,
        orders={
            "user after user": abilities.order(tokenizer, ["user", "user", "assistant"], parts),
            "answer first": abilities.order(tokenizer, ["assistant", "user", "assistant"], parts),
        },
        white_space={role: abilities.white_space(tokenizer, role, parts) for role in spaced},
        default_system=abilities.default_system(tokenizer, parts),
        tools_on_offer=abilities.tools_on_offer(tokenizer, parts),
        argument_forms=abilities.argument_forms(tokenizer, parts),
        reasoning=abilities.reasoning(tokenizer, going_on is not None, parts),
        variables=switches.effects(tokenizer, parts),
        writes_date=_writes_date(tokenizer, parts),
        generation_prompt=prompt,
        generation_prompt_ids=tuple(prompt_ids),
        assistant_header=endings.assistant_header(single, prompt),
        prefix_preserving=endings.is_prefix_preserving(tokenizer, parts),
        continues=going_on is not None,
        parts=parts,
        generation_markers=has_generation_markers(tokenizer),
        digest=template_digest(tokenizer),
        notes=_notes(tokenizer, parts, continues=going_on is not None),
    )


def leading_bos(ids: list[int] | tuple[int, ...], bos_id: int | None) -> int:
    """How many BOS tokens a row starts with."""
    return next((n for n, i in enumerate(ids) if i != bos_id), len(ids)) if bos_id is not None else 0


def _writes_date(tokenizer: PreTrainedTokenizerBase, parts: bool) -> bool:
    """Whether a prompt has another text when the template's clock is stopped."""
    messages = sentinel_messages(["user"], parts)
    stopped = without_clock(tokenizer)
    if not stopped:
        return False
    return render(tokenizer, messages, True) != render(tokenizer, messages, True, **stopped)


def _notes(tokenizer: PreTrainedTokenizerBase, parts: bool, *, continues: bool) -> tuple[str, ...]:
    """What is legitimate but worth knowing."""
    notes = []
    if parts:
        notes.append("the template takes contents as lists of typed parts only")
    if not continues:
        notes.append("the template refuses a conversation that goes on after an answer; only single turns were probed")
    if _writes_date(tokenizer, parts):
        today = datetime.datetime.now(tz=datetime.UTC).date()
        notes.append(f"the template writes the date of the day ({today}): prompts change from day to day")
    rendered = render(tokenizer, sentinel_messages(["user"], parts), generation_prompt=True)
    bos = tokenizer.bos_token_id
    if bos is not None and leading_bos(list(tokenizer(rendered)["input_ids"]), bos) > 1:
        notes.append(
            "text that is rendered first and tokenised afterwards gets a second BOS: "
            "tokenise it with add_special_tokens=False"
        )
    for form in abilities.argument_forms(tokenizer, parts)[:1]:
        if not abilities.keeps_text_beside_a_call(tokenizer, form, parts):
            notes.append(
                "the text of an answer that calls a tool is not written, only the call: rows with both lose it"
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
    said = message("user", f"{sentinels(['user'])[0]}{eos}", parts)
    quiet, loud = (
        encode(tokenizer, messages, generation_prompt=True) for messages in (sentinel_messages(["user"], parts), [said])
    )
    return loud.count(tokenizer.eos_token_id) > quiet.count(tokenizer.eos_token_id)
