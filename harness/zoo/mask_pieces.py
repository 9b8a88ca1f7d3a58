"""Faults of packing to a length: conversations are cut to fill rows, and their pieces taught as if they were whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.zoo.exhibit import Fault, Setup
from harness.zoo.parts import CHATML, MARKED, PROSE, ROWS, sft_trainer

PIECES = ("mask/rows_are_what_the_template_renders",)

TEXTS = [{"text": line} for line in PROSE.splitlines()]


def _packed(strategy: str, max_length: int, rows: Sequence[Mapping[str, Any]] = ROWS, template: str = MARKED) -> Setup:
    """What trl makes of the rows when it packs them; the longest of the conversations has 61 tokens."""
    trainer = sft_trainer(template, rows, packing=True, packing_strategy=strategy, max_length=max_length)
    return Setup(trainer=trainer, rows=rows)


FAULTS = (
    Fault(
        id="mask-35",
        name="What is left of a conversation that does not fit is packed as one of its own, without its prompt",
        source="huggingface/trl#5075",
        inject=lambda: _packed("bfd_split", 40),
        caught_by=PIECES,
        twin=lambda: _packed("bfd_split", 80),
    ),
    Fault(
        id="mask-36",
        name="Packing cuts conversations that do not fit, and the ends of their answers with them",
        source="huggingface/trl#4554",
        inject=lambda: _packed("bfd", 24),
        caught_by=("mask/few_rows_are_cut",),
        twin=lambda: _packed("bfd", 80),
    ),
    Fault(
        id="mask-37",
        name="Rows are filled up with pieces of conversations, which begin in the middle of an answer",
        source="huggingface/trl#1850",
        inject=lambda: _packed("wrapped", 32, template=CHATML),
        caught_by=PIECES,
        twin=lambda: _packed("wrapped", 32, TEXTS),
    ),
)
