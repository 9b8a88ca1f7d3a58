"""Faults of code that writes training rows by itself: another text than the template's, or other turns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jinja2

from harness.chat.template import render
from harness.zoo.exhibit import Fault, Setup
from harness.zoo.parts import CHATML, ROWS, tokenizer_with, written_out

Messages = Sequence[Mapping[str, Any]]

ALTERED = ("mask/rows_are_what_the_template_renders",)

INDENTED = """\
{% for m in messages %}
    {% if m['role'] == 'system' %}
{{ '<|im_start|>system\\n' + m['content'] + '<|im_end|>\\n' }}
    {%- else %}
{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}
    {%- endif %}
{% endfor %}
{% if add_generation_prompt %}
{{ '<|im_start|>assistant\\n' }}
{%- endif %}
"""
"""A template over several lines: what is left of its line breaks depends on how Jinja is set up."""

GREETED: list[dict[str, Any]] = [
    {
        "messages": [
            {"role": "assistant", "content": "Good morning, the gate is open."},
            {"role": "user", "content": "Who crosses the garden?"},
            {"role": "assistant", "content": "A fox."},
        ]
    },
    *ROWS,
]
"""Conversations of which one begins with the assistant, as those of characters do."""


def _built(template: str, write: Callable[[Messages], str], rows: Sequence[Mapping[str, Any]] = ROWS) -> Setup:
    """Rows as ``write`` makes text of their messages, beside a tokenizer with this template."""
    tokenizer = tokenizer_with(template)
    trainer = written_out(tokenizer, [write(row["messages"]) for row in rows])
    return Setup(tokenizer=tokenizer, trainer=trainer, rows=rows)


def _pairs_of_turns(messages: Messages) -> str:
    paired = [message for pair in zip(messages[::2], messages[1::2], strict=False) for message in pair]
    return render(tokenizer_with(CHATML), paired)


def _all_turns(messages: Messages) -> str:
    return render(tokenizer_with(CHATML), messages)


def _by_plain_jinja(messages: Messages) -> str:
    return jinja2.Environment(autoescape=False).from_string(INDENTED).render(messages=messages)  # noqa: S701


def _by_jinja_as_templates_need_it(messages: Messages) -> str:
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, autoescape=False)  # noqa: S701
    return environment.from_string(INDENTED).render(messages=messages)


def _by_hand_without_line_breaks(messages: Messages) -> str:
    return "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>" for m in messages)


def _by_hand(messages: Messages) -> str:
    return "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in messages)


FAULTS = (
    Fault(
        id="template-09",
        name="A builder of pairs drops the assistant's first message and pairs the others anew",
        source="axolotl-ai-cloud/axolotl#723",
        inject=lambda: _built(CHATML, _pairs_of_turns, GREETED),
        caught_by=ALTERED,
        twin=lambda: _built(CHATML, _all_turns, GREETED),
        where="in the row builder",
    ),
    Fault(
        id="template-25",
        name="The template is rendered by a Jinja without trim_blocks and lstrip_blocks",
        source="huggingface/swift-transformers#322",
        inject=lambda: _built(INDENTED, _by_plain_jinja),
        caught_by=ALTERED,
        twin=lambda: _built(INDENTED, _by_jinja_as_templates_need_it),
        where="in the row builder",
    ),
    Fault(
        id="template-34",
        name="A framework writes rows by a template of its own, a line break short of the tokenizer's",
        source="hiyouga/LlamaFactory#10774",
        inject=lambda: _built(CHATML, _by_hand_without_line_breaks),
        caught_by=ALTERED,
        twin=lambda: _built(CHATML, _by_hand),
        where="in the row builder",
    ),
)
