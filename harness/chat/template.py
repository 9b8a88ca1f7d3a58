"""The chat template of a tokenizer: rendered, encoded, named by a digest, and put in where there is none."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from jinja2.exceptions import TemplateError

from harness.errors import ModelError
from harness.records import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

REFUSALS = (TemplateError, TypeError, ValueError, KeyError, AttributeError, IndexError)
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

DEFAULT_TEMPLATE = """\
{%- for message in messages %}
{%- if message['role'] == 'assistant' %}
{{- 'Assistant: ' }}{% generation %}{{ message['content'] + eos_token }}{% endgeneration %}{{ '\\n' }}
{%- else %}
{{- message['role'] | capitalize + ': ' + message['content'] + '\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
{{- 'Assistant:' }}
{%- endif %}
"""
"""``System: ... / User: ... / Assistant: ...``, a line each; the eos token ends what the assistant says.

The generation prompt ends with the colon: the space after it belongs to the token of the answer's first word.
"""


def prepare(tokenizer: PreTrainedTokenizerBase) -> tuple[str, ...]:
    """Give the tokenizer a chat template and a pad token where it has none; return what was done and why.

    Raises:
        ModelError: there is no template and no eos token that the default template could end a turn with.

    """
    notes = []
    if not tokenizer.chat_template:
        tokenizer.chat_template = _default_template(tokenizer)
        notes.append(
            "the tokenizer has no chat template: rendered with the default 'System: / User: / Assistant:', "
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

    """
    return str(
        tokenizer.apply_chat_template(
            list(messages), tokenize=False, add_generation_prompt=generation_prompt, **options
        )
    )


def encode(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    generation_prompt: bool = False,
    **options: Any,
) -> list[int]:
    """The conversation as ids, exactly as ``apply_chat_template`` gives them to a model."""
    ids = tokenizer.apply_chat_template(
        list(messages), tokenize=True, add_generation_prompt=generation_prompt, return_dict=False, **options
    )
    return [int(i) for i in ids]


def takes(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Message]) -> bool:
    """Whether the template renders this conversation; some refuse a system message, or an order of roles."""
    try:
        render(tokenizer, messages, generation_prompt=True)
    except REFUSALS:
        return False
    return True


def template_digest(tokenizer: PreTrainedTokenizerBase) -> str:
    """12 hexadecimal digits that name what the template writes; empty where there is no template.

    The digest is that of some rendered conversations: a comment, or ``{% generation %}`` marks, make no other template.
    One that writes the date is named by its text instead, which does not change from day to day.
    """
    template = tokenizer.chat_template
    if not template:
        return ""
    if isinstance(template, Mapping):
        template = "\n".join(f"{name}\n{text}" for name, text in sorted(template.items()))
    shown = [_shown(tokenizer, roles, options) for roles in SHOWN_ROLES for options in SHOWN_OPTIONS]
    written = template if "strftime_now" in template or not any(shown) else "\0".join(shown)
    return hashlib.sha256(written.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _shown(tokenizer: PreTrainedTokenizerBase, roles: Sequence[str], options: Mapping[str, Any]) -> str:
    """A conversation as the template writes it, with text or else with typed parts; empty where it refuses both."""
    for parts in (False, True):
        messages = [
            {"role": role, "content": [{"type": "text", "text": text}] if parts else text}
            for role, text in ((role, f" The {role} says\nno. {number}. ") for number, role in enumerate(roles))
        ]
        try:
            return render(tokenizer, messages, generation_prompt=roles[-1] != "assistant", **options)
        except REFUSALS:
            continue
    return ""


def has_generation_markers(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the template marks the assistant's text with ``{% generation %}``."""
    return "endgeneration" in str(tokenizer.get_chat_template())


def _default_template(tokenizer: PreTrainedTokenizerBase) -> str:
    if tokenizer.eos_token is None:
        raise ModelError(
            f"the tokenizer {tokenizer.name_or_path or '(unnamed)'} has neither a chat template nor an eos token, so "
            "no turn could end: set tokenizer.eos_token or tokenizer.chat_template and save it with the model"
        )
    # Plain text of this model starts with BOS, so its conversations must as well.
    plain = tokenizer("a")["input_ids"]
    starts_with_bos = tokenizer.bos_token_id is not None and plain[:1] == [tokenizer.bos_token_id]
    return ("{{- bos_token }}\n" if starts_with_bos else "") + DEFAULT_TEMPLATE
