"""The chat template of a tokenizer: rendered, encoded, named by a digest, and put in where there is none."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from jinja2.exceptions import TemplateError

from harness.chat import formats
from harness.chat.bounded import bounded
from harness.errors import ModelError
from harness.records import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

REFUSALS = (TemplateError, TypeError, ValueError, KeyError, AttributeError, IndexError, ArithmeticError)
"""How a template says that it does not take a conversation: on purpose, or by stumbling over its shape."""

SHOWN_ROLES = (
    ("user",),
    ("system", "user"),
    ("user", "assistant"),
    ("system", "user", "assistant", "user", "assistant"),
    ("user", "assistant", "user"),
)
SHOWN_OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"tools": [{"type": "function", "function": {"name": "look_up", "description": "d", "parameters": {}}}]},
)
"""Conversations by which a template is known, with and without a tool on offer."""

NOTHING: Mapping[str, Any] = MappingProxyType({})

STOPPED_CLOCK = "{% macro strftime_now(format) %}{{ format }}{% endmacro %}\n"
"""Put before a template, it takes the place of the clock that transformers gives to templates."""


def prepare(tokenizer: PreTrainedTokenizerBase) -> tuple[str, ...]:
    """Give the tokenizer a chat template and a pad token where it has none; return what was done and why.

    Raises:
        ModelError: there is no template and no eos token that the plain format could end a turn with.

    """
    notes = []
    if not tokenizer.chat_template:
        tokenizer.chat_template = _plain_format(tokenizer)
        notes.append(
            "the tokenizer has no chat template: rendered with the format 'plain' ('System: / User: / Assistant:'), "
            f"each answer ended by its eos token {tokenizer.eos_token!r}"
        )
    if tokenizer.pad_token is None and tokenizer.eos_token is not None:
        tokenizer.pad_token = tokenizer.eos_token
        notes.append(f"the tokenizer has no pad token: padded with its eos token {tokenizer.eos_token!r}")
    return tuple(notes)


def render(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    generation_prompt: bool = False,
    **options: Any,
) -> str:
    """The conversation as text. ``options`` are what ``apply_chat_template`` takes: ``tools``, template variables.

    Raises:
        jinja2.TemplateError: the template refuses this conversation.
        ModelError: it finds no end, or takes gigabytes.

    """
    given = list(messages)
    return bounded(
        lambda: str(
            tokenizer.apply_chat_template(given, tokenize=False, add_generation_prompt=generation_prompt, **options)
        ),
        given,
    )


def encode(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    generation_prompt: bool = False,
    **options: Any,
) -> list[int]:
    """The conversation as ids, exactly as ``apply_chat_template`` gives them to a model; raises as ``render`` does."""
    # Text first: only its rendering is bounded, since the threads of a tokenizer take address space of their own.
    render(tokenizer, messages, generation_prompt, **options)
    ids = tokenizer.apply_chat_template(
        list(messages), tokenize=True, add_generation_prompt=generation_prompt, return_dict=False, **options
    )
    return [int(i) for i in ids]


def encode_all(
    tokenizer: PreTrainedTokenizerBase,
    conversations: Sequence[Sequence[Message]],
    generation_prompt: bool = False,
    **options: Any,
) -> list[list[int]]:
    """As ``encode``, of many conversations that are known to render; the tokenizer's threads share the work."""
    given = [list(messages) for messages in conversations]
    ids: list[list[int]] = tokenizer.apply_chat_template(
        given, tokenize=True, add_generation_prompt=generation_prompt, return_dict=False, **options
    )
    return ids


def takes(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> bool:
    """Whether the template renders this conversation; some refuse a system message, or an order of roles."""
    try:
        render(tokenizer, messages, generation_prompt=True)
    except REFUSALS:
        return False
    return True


def template_digest(tokenizer: PreTrainedTokenizerBase) -> str:
    """12 hexadecimal digits that name what the template writes; empty where there is no template.

    The digest is that of some rendered conversations: a comment, ``{% generation %}`` marks, or another day, make no
    other template. One that renders none of them is named by its text.
    """
    template = tokenizer.chat_template
    if not template:
        return ""
    if isinstance(template, Mapping):
        template = "\n".join(f"{name}\n{text}" for name, text in sorted(template.items()))
    texts = [shown(tokenizer, roles, options) for roles in SHOWN_ROLES for options in SHOWN_OPTIONS]
    written = "\0".join(texts) if any(texts) else template
    return hashlib.sha256(written.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def shown(tokenizer: PreTrainedTokenizerBase, roles: Sequence[str], options: Mapping[str, Any] = NOTHING) -> str:
    """A conversation of these roles as the template writes it on any day; empty where it refuses text and parts."""
    for parts in (False, True):
        messages = [
            {"role": role, "content": [{"type": "text", "text": text}] if parts else text}
            for role, text in ((role, f" The {role} says\nno. {number}. ") for number, role in enumerate(roles))
        ]
        try:
            stopped = without_clock(tokenizer, **options)
            return render(tokenizer, messages, generation_prompt=roles[-1] != "assistant", **options, **stopped)
        except REFUSALS:
            continue
    return ""


def without_clock(tokenizer: PreTrainedTokenizerBase, tools: Any = None) -> dict[str, Any]:
    """What to render with so that the day does not matter: where a template writes the date, its format is written."""
    source = str(tokenizer.get_chat_template(tools=tools))
    return {"chat_template": STOPPED_CLOCK + source} if "strftime_now" in source else {}


def has_generation_markers(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the template marks the assistant's text with ``{% generation %}``."""
    return "endgeneration" in str(tokenizer.get_chat_template())


def _plain_format(tokenizer: PreTrainedTokenizerBase) -> str:
    if tokenizer.eos_token is None:
        raise ModelError(
            f"the tokenizer {tokenizer.name_or_path or '(unnamed)'} has neither a chat template nor an eos token, so "
            "no turn could end: set tokenizer.eos_token or tokenizer.chat_template and save it with the model"
        )
    return formats.load("plain", tokenizer)
