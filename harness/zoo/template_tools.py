"""Faults in rows with tools: tools that never reach the template, and arguments that no call had."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from datasets import Dataset

from harness.chat.template import render
from harness.inspection.stand_in import stand_in_trainer
from harness.zoo.exhibit import Fault, Setup
from harness.zoo.parts import tokenizer_with, written_out

WITH_TOOLS = (
    "{% if tools %}{{ '<|im_start|>system\nTools:' }}{% for tool in tools %}{{ '\n' + tool | tojson }}{% endfor %}"
    "{{ '<|im_end|>\n' }}{% endif %}"
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + (m['content'] or '') }}"
    "{% for call in m['tool_calls'] or [] %}{{ '<call>' + call['function'] | tojson + '</call>' }}{% endfor %}"
    "{{ '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def _tool(name: str, argument: str) -> dict[str, Any]:
    parameters = {"type": "object", "properties": {argument: {"type": "string"}}}
    return {
        "type": "function",
        "function": {"name": name, "description": f"find the {argument}", "parameters": parameters},
    }


def _row(question: str, name: str, arguments: Mapping[str, str] | str, result: str, answer: str) -> dict[str, Any]:
    call = {"type": "function", "function": {"name": name, "arguments": arguments}}
    return {
        "messages": [
            {"role": "user", "content": question},
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "content": result},
            {"role": "assistant", "content": answer},
        ],
    }


def _rows(arguments_as_text: bool) -> list[dict[str, Any]]:
    def given(**arguments: str) -> Mapping[str, str] | str:
        return json.dumps(arguments) if arguments_as_text else arguments

    return [
        _row("Does it rain?", "look_outside", given(garden="north"), "rain", "It rains in the north."),
        _row("When does it open?", "read_sign", given(gate="main"), "noon", "The main gate opens at noon."),
    ]


OFFERED = [_tool("look_outside", "garden"), _tool("read_sign", "gate")]


def _written(tools: Sequence[Mapping[str, Any]] | None) -> Setup:
    """Rows with tools on offer, rendered by the user's own call with these ``tools``."""
    tokenizer = tokenizer_with(WITH_TOOLS)
    rows = [{**row, "tools": OFFERED} for row in _rows(arguments_as_text=False)]
    trainer = written_out(tokenizer, [render(tokenizer, row["messages"], tools=tools) for row in rows])
    return Setup(tokenizer=tokenizer, trainer=trainer, rows=rows)


def _kept_in_a_table(arguments_as_text: bool) -> Setup:
    """Rows that have been in an Arrow table, which gives all structs of a column the same keys."""
    tokenizer = tokenizer_with(WITH_TOOLS)
    rows = list(Dataset.from_list(_rows(arguments_as_text)))
    return Setup(tokenizer=tokenizer, trainer=stand_in_trainer(tokenizer, rows), rows=rows)


RENDERED = ("mask/tools_of_the_rows_are_rendered",)

FAULTS = (
    Fault(
        id="template-22",
        name="The row's tools are not handed to the template",
        source="NVIDIA-NeMo/Megatron-Bridge#4072",
        inject=lambda: _written(None),
        caught_by=RENDERED,
        twin=lambda: _written(OFFERED),
        where="in the row builder",
    ),
    Fault(
        id="template-23",
        name="A table fills each call with the other tools' arguments",
        source="axolotl-ai-cloud/axolotl#2909",
        inject=lambda: _kept_in_a_table(arguments_as_text=False),
        caught_by=RENDERED,
        twin=lambda: _kept_in_a_table(arguments_as_text=True),
    ),
)
