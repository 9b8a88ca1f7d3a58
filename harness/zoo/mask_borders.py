"""Faults of code that counts the prompt's tokens: the answer's beginning is masked, or the prompt's end is learned."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tokenizers import processors
from transformers import DataCollatorForSeq2Seq

from harness.chat.template import encode, render
from harness.zoo.exhibit import Fault, Setup
from harness.zoo.parts import CHATML, ROWS, labelled, plain_trainer, tokenizer_with

Messages = Sequence[Mapping[str, Any]]

BY_TURN = "mask/content_and_terminator_of_every_turn_are_supervised_and_nothing_else"

TURNS = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}"
    "{% if m['role'] == 'assistant' %}{{ before_an_answer }}{% endif %}{{ m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n<think>\n' }}{% endif %}"
)
PROMPTED_TO_THINK = TURNS.replace("before_an_answer", "''")
THINKS = TURNS.replace("before_an_answer", "'<think>\n'")
"""The prompt of inference opens a block of thoughts; only the second template has it in rows, too."""

ASKED = (
    ("What opens at noon?", "A gate"),
    ("What is it by the sea?", "A quiet town"),
    ("What closes at six?", "A garden"),
)


def _conversations(
    count: Callable[[Any, Messages], int], template: str = CHATML, rows: Sequence[Mapping[str, Any]] = ROWS
) -> Setup:
    """Rows whose first ``count(tokenizer, messages before the last answer)`` labels are masked."""
    tokenizer = tokenizer_with(template)
    prepared = []
    for row in rows:
        ids = encode(tokenizer, row["messages"])
        prepared.append(labelled(ids, range(count(tokenizer, row["messages"][:-1]), len(ids))))
    trainer = plain_trainer(tokenizer, prepared, DataCollatorForSeq2Seq(tokenizer))
    return Setup(trainer=trainer, rows=rows)


def _keys_of_the_encoding(tokenizer: Any, prompt: Messages) -> int:
    return len(tokenizer.apply_chat_template(list(prompt), add_generation_prompt=True, return_dict=True))


def _ids_of_the_encoding(tokenizer: Any, prompt: Messages) -> int:
    encoding = tokenizer.apply_chat_template(list(prompt), add_generation_prompt=True, return_dict=True)
    return len(encoding["input_ids"])


def _prompt_of_inference(tokenizer: Any, prompt: Messages) -> int:
    return len(encode(tokenizer, prompt, generation_prompt=True))


def _counted_as_text(**encoding: Any) -> Setup:
    """The prompt is rendered to text and tokenised again, by a tokenizer that ends every text with its eos token."""

    def count(tokenizer: Any, prompt: Messages) -> int:
        return len(_ending_texts(tokenizer)(render(tokenizer, prompt, generation_prompt=True), **encoding)["input_ids"])

    return _conversations(count)


def _ending_texts(tokenizer: Any) -> Any:
    eos = str(tokenizer.eos_token)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {eos}", pair=f"$A $B {eos}", special_tokens=[(eos, tokenizer.eos_token_id)]
    )
    return tokenizer


def _with_the_space(before: str, after: str) -> Setup:
    """Prompts and completions without a template, masked by the number of the prompt's tokens."""
    tokenizer = tokenizer_with(None)
    rows = [{"prompt": f"{asked}\nAnswer:{before}", "completion": after + said} for asked, said in ASKED]
    prepared = []
    for row in rows:
        ids = tokenizer(row["prompt"] + row["completion"] + tokenizer.eos_token)["input_ids"]
        prepared.append(labelled(ids, range(len(tokenizer(row["prompt"])["input_ids"]), len(ids))))
    return Setup(trainer=plain_trainer(tokenizer, prepared, DataCollatorForSeq2Seq(tokenizer)), rows=rows)


FAULTS = (
    Fault(
        id="mask-14",
        name="The prompt is counted with an eos token that the row has not, and the answer's first token is masked",
        source="tloen/alpaca-lora#306",
        inject=_counted_as_text,
        caught_by=(BY_TURN,),
        twin=lambda: _counted_as_text(add_special_tokens=False),
        where="in the row builder",
    ),
    Fault(
        id="mask-15",
        name="The prompt's last space and the answer's first word are one token, which is masked",
        source="unslothai/notebooks#149",
        inject=lambda: _with_the_space(" ", ""),
        caught_by=("mask/prompts_end_where_answers_begin", BY_TURN),
        twin=lambda: _with_the_space("", " "),
        where="in the row builder",
    ),
    Fault(
        id="mask-17",
        name="The keys of an encoding are counted for the tokens of the prompt",
        source="huggingface/trl#4880",
        inject=lambda: _conversations(_keys_of_the_encoding),
        caught_by=(BY_TURN,),
        twin=lambda: _conversations(_ids_of_the_encoding),
        where="in the row builder",
    ),
    Fault(
        id="mask-18",
        name="The prompt of inference has a tag that rows lack, and its length cuts into the answer",
        source="huggingface/trl#5213",
        inject=lambda: _conversations(_prompt_of_inference, PROMPTED_TO_THINK),
        caught_by=(BY_TURN,),
        twin=lambda: _conversations(_prompt_of_inference, THINKS),
        where="in the row builder",
    ),
)
