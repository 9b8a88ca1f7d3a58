"""Faults of code that chooses what is learned: turns that are left out, and turns that are not the assistant's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from transformers import DataCollatorForSeq2Seq

from harness.chat.template import encode
from harness.zoo.exhibit import Fault, Setup
from harness.zoo.parts import CHATML, MARKED, ROWS, labelled, plain_trainer, sft_trainer, tokenizer_with

Messages = Sequence[Mapping[str, Any]]
Rule = Callable[[Any, Messages], Iterable[int]]

BY_TURN = ("mask/content_and_terminator_of_every_turn_are_supervised_and_nothing_else",)

WITH_A_TOOL: list[dict[str, Any]] = [
    {
        "messages": [
            {"role": "user", "content": "What is the capital of the country?"},
            {"role": "assistant", "content": "look up: capital"},
            {"role": "tool", "content": "a quiet town"},
            {"role": "assistant", "content": "It is a quiet town by the sea."},
        ]
    },
    *ROWS,
]


def _turns_of(tokenizer: Any, messages: Messages, roles: Iterable[str]) -> list[range]:
    """The tokens of these roles' messages, without their headers, as the rendered row holds them."""
    found = []
    for n, message in enumerate(messages):
        if message["role"] in roles:
            answers = message["role"] == "assistant"
            start = len(encode(tokenizer, messages[:n], generation_prompt=answers))
            found.append(range(start, len(encode(tokenizer, messages[: n + 1]))))
    return found


def _every_answer(tokenizer: Any, messages: Messages) -> Iterable[int]:
    return [i for turn in _turns_of(tokenizer, messages, {"assistant"}) for i in turn]


def _last_answer(tokenizer: Any, messages: Messages) -> Iterable[int]:
    return _turns_of(tokenizer, messages, {"assistant"})[-1]


def _from_the_first_answer_on(tokenizer: Any, messages: Messages) -> Iterable[int]:
    return range(_turns_of(tokenizer, messages, {"assistant"})[0].start, len(encode(tokenizer, messages)))


def _all_but_the_user(tokenizer: Any, messages: Messages) -> Iterable[int]:
    return [i for turn in _turns_of(tokenizer, messages, {"assistant", "tool"}) for i in turn]


def _learned_by(
    rule: Rule, rows: Sequence[Mapping[str, Any]] = ROWS, options: Mapping[str, Any] | None = None
) -> Setup:
    """Rows that the user's own code has rendered and masked, for a transformers ``Trainer``."""
    tokenizer = tokenizer_with(CHATML)
    prepared = [labelled(encode(tokenizer, row["messages"]), set(rule(tokenizer, row["messages"]))) for row in rows]
    trainer = plain_trainer(tokenizer, prepared, DataCollatorForSeq2Seq(tokenizer))
    return Setup(trainer=trainer, rows=rows, options=options or {})


def _completion_only(rows: Sequence[Mapping[str, Any]]) -> Setup:
    """What trl makes of the rows where the completion alone is to be learned."""
    trainer = sft_trainer(MARKED, rows, assistant_only_loss=False, completion_only_loss=True)
    return Setup(trainer=trainer, rows=rows)


def _told_apart(row: Mapping[str, Any]) -> dict[str, Any]:
    return {"prompt": row["messages"][:-1], "completion": row["messages"][-1:]}


FAULTS = (
    Fault(
        id="mask-10",
        name="Of a conversation only the last answer is learned, where all were meant",
        source="zai-org/GLM-4#803",
        inject=lambda: _learned_by(_last_answer, options={"supervised": "every turn"}),
        caught_by=BY_TURN,
        twin=lambda: _learned_by(_last_answer, options={"supervised": "last turn"}),
        where="in the row builder",
    ),
    Fault(
        id="mask-11",
        name="All that follows the first answer is learned, the user's turns with it",
        source="Blaizzy/mlx-vlm#970",
        inject=lambda: _learned_by(_from_the_first_answer_on),
        caught_by=BY_TURN,
        twin=lambda: _learned_by(_every_answer),
        where="in the row builder",
    ),
    Fault(
        id="mask-13",
        name="Completion-only loss finds no completion: rows of messages are learned whole",
        source="huggingface/trl#3343",
        inject=lambda: _completion_only(ROWS),
        caught_by=BY_TURN,
        twin=lambda: _completion_only([_told_apart(row) for row in ROWS]),
    ),
    Fault(
        id="mask-20",
        name="What a tool returned is learned as if the model had said it",
        source="RUC-NLPIR/ARPO#9",
        inject=lambda: _learned_by(_all_but_the_user, WITH_A_TOOL),
        caught_by=BY_TURN,
        twin=lambda: _learned_by(_every_answer, WITH_A_TOOL),
        where="in the row builder",
    ),
)
