"""Faults at the beginning of a row and at the border between prompt and answer: BOS, header, white space."""

from __future__ import annotations

from harness.chat.template import render
from harness.inspection.stand_in import stand_in_trainer
from harness.zoo.exhibit import Fault, Setup
from harness.zoo.parts import CHATML, ROWS, WITH_BOS, tokenizer_with, written_out

WITHOUT_PROMPT = "{% for m in messages %}<|im_start|>{{ m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
BRACKETS = (
    "{{ bos_token }}{% for m in messages if m['role'] != 'system' %}{% if m['role'] == 'user' %}"
    "{% if loop.first and messages[0]['role'] == 'system' %}{% set said = messages[0]['content'] + '\n\n' %}"
    "{% else %}{% set said = '' %}{% endif %}{{ '[INST] ' + said + m['content'] + ' [/INST]' }}"
    "{% else %}{{ ' ' + m['content'] + eos_token }}{% endif %}{% endfor %}"
)
"""No header before an answer: what closes the user's turn opens it, so there is nothing to prompt with."""


def _rendered_before() -> Setup:
    """The texts of the template, handed to trl as a column of text: the tokenizer puts its own BOS before them."""
    tokenizer = tokenizer_with(WITH_BOS, adds_bos=True)
    rows = [{"text": render(tokenizer, row["messages"])} for row in ROWS]
    return Setup(tokenizer=tokenizer, trainer=stand_in_trainer(tokenizer, rows), rows=rows)


def _rendered_by_the_trainer() -> Setup:
    tokenizer = tokenizer_with(WITH_BOS, adds_bos=True)
    return Setup(tokenizer=tokenizer, trainer=stand_in_trainer(tokenizer, ROWS), rows=ROWS)


def _without_the_bos_of_the_template() -> Setup:
    tokenizer = tokenizer_with(WITH_BOS)
    texts = [render(tokenizer, row["messages"]).removeprefix(tokenizer.bos_token) for row in ROWS]
    return Setup(tokenizer=tokenizer, trainer=written_out(tokenizer, texts), rows=ROWS)


def _of_a_template_without_bos() -> Setup:
    """The tokenizer knows a BOS token; the template begins without it, in training as at inference."""
    tokenizer = tokenizer_with(CHATML)
    texts = [render(tokenizer, row["messages"]) for row in ROWS]
    return Setup(tokenizer=tokenizer, trainer=written_out(tokenizer, texts), rows=ROWS)


def _trained_with(template: str) -> Setup:
    tokenizer = tokenizer_with(template)
    return Setup(tokenizer=tokenizer, trainer=stand_in_trainer(tokenizer, ROWS), rows=ROWS)


def _asked_and_answered(prompt: str, answer: str) -> Setup:
    tokenizer = tokenizer_with(None)
    rows = [
        {"prompt": f"{question}\n{prompt}", "completion": f"{answer}{said}"}
        for question, said in (("What opens at noon?", "The gate"), ("What is it by the sea?", "A quiet town"))
    ]
    return Setup(trainer=stand_in_trainer(tokenizer, rows), rows=rows)


FAULTS = (
    Fault(
        id="template-01",
        name="Text that the template has begun with BOS gets a second one from the tokenizer",
        source="huggingface/trl#1400",
        inject=_rendered_before,
        caught_by=("mask/rows_start_with_one_bos_at_most",),
        twin=_rendered_by_the_trainer,
    ),
    Fault(
        id="template-02",
        name="Rows are written without the BOS that the template begins with",
        source="unslothai/notebooks#251",
        inject=_without_the_bos_of_the_template,
        caught_by=("mask/rows_are_what_the_template_renders",),
        twin=_of_a_template_without_bos,
        where="in the row builder",
    ),
    Fault(
        id="template-03",
        name="The prompt of inference ends before the assistant's header",
        source="PrimeIntellect-ai/verifiers#476",
        inject=lambda: _trained_with(WITHOUT_PROMPT),
        caught_by=("template/the_generation_prompt_is_what_rows_have_before_an_answer",),
        twin=lambda: _trained_with(BRACKETS),
        where="in the template, which knows no add_generation_prompt",
    ),
    Fault(
        id="template-17",
        name="The prompt ends with a space that training joins with the answer's first word",
        source="FastEval/FastEval#26",
        inject=lambda: _asked_and_answered("Answer: ", ""),
        caught_by=("mask/prompts_end_where_answers_begin",),
        twin=lambda: _asked_and_answered("Answer:", " "),
    ),
)
