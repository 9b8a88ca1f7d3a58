"""A saved model without its weights: its tokenizer, its settings, and what earlier records say of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.chat.control import name_token
from harness.chat.frame import ONE_TURN, sentinel_messages
from harness.chat.probe import ChatProbe
from harness.chat.template import encode
from harness.records import Finding

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Checkpoint:
    """What a model brings beside its weights.

    ``config`` and ``generation_config`` are transformers' objects, None where they are not known. ``vocab_rows`` is the
    number of rows of its embedding, None where that is not known; ``folder`` is where its files are, None for a model
    that was never saved. ``recorded`` holds what earlier records say of the same model, by
    label (a baseline, the base model, the trainer).
    """

    tokenizer: PreTrainedTokenizerBase
    habits: ChatProbe
    config: Any = None
    generation_config: Any = None
    stop_ids: frozenset[int] = frozenset()
    vocab_rows: int | None = None
    folder: Path | None = None
    recorded: Mapping[str, Any] = field(default_factory=dict)


def ids_fit_the_model(saved: Checkpoint) -> list[Finding]:
    """Every id that a conversation or a batch can hold has a row in the embedding matrix."""
    tokenizer, habits, vocab_rows = saved.tokenizer, saved.habits, saved.vocab_rows
    if vocab_rows is None:
        return []
    named = {
        "bos": tokenizer.bos_token_id,
        "eos": tokenizer.eos_token_id,
        "pad": tokenizer.pad_token_id,
        "terminator": habits.terminator_id,
        "highest in a conversation": max(encode(tokenizer, sentinel_messages(ONE_TURN, habits.parts))),
    }
    beyond: dict[int, list[str]] = {}
    for name, token_id in named.items():
        if token_id is not None and token_id >= vocab_rows:
            beyond.setdefault(token_id, []).append(name)
    if not beyond:
        return []
    return [
        Finding(
            "the tokenizer gives ids that the model has no embedding for",
            "; ".join(f"{' and '.join(names)}: {name_token(tokenizer, i)}" for i, names in sorted(beyond.items())),
            f"ids below {vocab_rows}, the rows of the embedding matrix",
            ", ".join(map(str, sorted(beyond))),
            f"call model.resize_token_embeddings({max(beyond) + 1}) before training, or use the base model's tokenizer",
        )
    ]
