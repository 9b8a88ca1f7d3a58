"""Faults between training and serving: each is sound, and the model meets prompts that it was not tuned on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.inspection.stand_in import stand_in_trainer
from harness.zoo.exhibit import Fault, Setup
from harness.zoo.parts import CHATML, ROWS, checkpoint_of, record_of, tokenizer_with

PROMPT = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
TURN = "{{ '<|im_start|>' + m['role'] + '\n' + said + '<|im_end|>\n' }}"

DEFAULT_SYSTEM = (
    "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are Ada.<|im_end|>\n' }}{% endif %}" + CHATML
)
TRIMMED = "{% for m in messages %}{% set said = m['content'] | trim %}" + TURN + "{% endfor %}" + PROMPT
FORGETS_REASONING = (
    "{% for m in messages %}{% set said = m['content'] %}"
    "{% if m['role'] == 'assistant' and not loop.last %}{% set said = said.split('</think>')[-1].lstrip() %}{% endif %}"
    + TURN
    + "{% endfor %}"
    + PROMPT
)
SWITCHED = (
    "{% for m in messages %}{% set said = m['content'] %}"
    "{% if m['role'] == 'assistant' and loop.last and enable_thinking is defined and not enable_thinking %}"
    "{% set said = '<think>\n\n</think>\n\n' + said %}{% endif %}"
    + TURN
    + "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{% if enable_thinking is defined and not enable_thinking %}{{ '<think>\n\n</think>\n\n' }}{% endif %}{% endif %}"
)
"""Thinks unless it is told not to; then an empty block of thoughts is part of the prompt."""
DATED = (
    "{{ '<|im_start|>system\nToday is ' + "
    "(date_string if date_string is defined else strftime_now('%d %b %Y')) + '.<|im_end|>\n' }}" + CHATML
)

REASONED: list[dict[str, Any]] = [
    {
        "messages": [
            {"role": "user", "content": "Who crosses the garden?"},
            {"role": "assistant", "content": "<think>A garden, before the rain.</think>A fox."},
            {"role": "user", "content": "And who opens the gate?"},
            {"role": "assistant", "content": "<think>It opens at noon.</think>Nobody."},
        ]
    }
]
CODE: list[dict[str, Any]] = [
    {
        "messages": [
            {"role": "user", "content": "\n    return left + right\nWhat is missing?"},
            {"role": "assistant", "content": "The line with def."},
        ]
    }
]


def _trained_and_served(training: str, serving: str, rows: Sequence[Mapping[str, Any]]) -> Setup:
    """A trainer that renders its rows with one template beside a tokenizer that is saved with another one."""
    trainer = stand_in_trainer(tokenizer_with(training), rows)
    trainer.chat_template = training
    trainer.processing_class.chat_template = serving
    return Setup(tokenizer=trainer.processing_class, trainer=trainer, rows=rows)


def _given(template: str, variables: Mapping[str, Any], serving: Mapping[str, Any] | None) -> Setup:
    """Rows that give the template these variables, for a model that is served with ``serving``."""
    rows = [{**row, "chat_template_kwargs": variables} if variables else row for row in ROWS]
    tokenizer = tokenizer_with(template)
    trainer = stand_in_trainer(tokenizer, rows)
    return Setup(
        tokenizer=tokenizer, trainer=trainer, rows=rows, options={} if serving is None else {"serving": serving}
    )


def _since_training(training: str, today: str) -> Setup:
    tokenizer = tokenizer_with(today)
    return Setup(
        tokenizer=tokenizer,
        checkpoint=checkpoint_of(tokenizer, recorded={"the training": record_of(tokenizer_with(training))}),
    )


AS_SERVED = ("mask/an_answer_is_prompted_as_at_inference",)

FAULTS = (
    Fault(
        id="template-05",
        name="A misspelt template variable is ignored",
        source="huggingface/transformers#37852",
        inject=lambda: _given(SWITCHED, {"enable_thinkng": False}, None),
        caught_by=("mask/template_options_are_known_to_the_template",),
        twin=lambda: _given(SWITCHED, {"enable_thinking": False}, None),
    ),
    Fault(
        id="template-06",
        name="A system text appears that the model was not trained with",
        source="QwenLM/Qwen#1089",
        inject=lambda: _since_training(CHATML, DEFAULT_SYSTEM),
        caught_by=("template/the_template_is_the_recorded_one",),
        twin=lambda: _since_training(DEFAULT_SYSTEM, DEFAULT_SYSTEM),
    ),
    Fault(
        id="template-10",
        name="Training keeps the reasoning of earlier turns, serving drops it",
        source="hiyouga/LlamaFactory#10336",
        inject=lambda: _trained_and_served(CHATML, FORGETS_REASONING, REASONED),
        caught_by=AS_SERVED,
        twin=lambda: _trained_and_served(FORGETS_REASONING, FORGETS_REASONING, REASONED),
    ),
    Fault(
        id="template-13",
        name="Tuned without thinking, served with it",
        source="hiyouga/LlamaFactory#9765",
        inject=lambda: _given(SWITCHED, {"enable_thinking": False}, {"enable_thinking": True}),
        caught_by=AS_SERVED,
        twin=lambda: _given(SWITCHED, {"enable_thinking": False}, {"enable_thinking": False}),
    ),
    Fault(
        id="template-18",
        name="Training trims contents, serving does not",
        source="meta-pytorch/torchtune#1473",
        inject=lambda: _trained_and_served(TRIMMED, CHATML, CODE),
        caught_by=AS_SERVED,
        twin=lambda: _trained_and_served(TRIMMED, TRIMMED, CODE),
    ),
    Fault(
        id="template-26",
        name="Trained on a date that stands still, served with that of the day",
        source="sgl-project/sglang#3296",
        inject=lambda: _given(DATED, {"date_string": "26 Jul 2024"}, {}),
        caught_by=AS_SERVED,
        twin=lambda: _given(DATED, {}, {}),
    ),
)
