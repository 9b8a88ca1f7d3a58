"""What a trainer is meant to learn, as its arguments, its rows or its user declare it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from harness.chat.conversation import PlainText
from harness.errors import UsageError
from harness.inspection.batches import IGNORED
from harness.inspection.documents import Segment
from harness.inspection.source_rows import Source

if TYPE_CHECKING:
    from transformers import Trainer

Policy = Literal["every turn", "last turn", "completion", "every turn of the completion", "whole row", "undeclared"]
"""Which tokens are meant to be learned. ``undeclared`` where only the labels themselves could tell."""


def declared_policy(text: str) -> Policy:
    """The policy of this name.

    Raises:
        UsageError: there is none.

    """
    policies: tuple[Policy, ...] = get_args(Policy)
    policy = next((policy for policy in policies if policy == text), None)
    if policy is None:
        raise UsageError(f"supervised {text!r} is no policy: write one of {', '.join(map(repr, policies))}")
    return policy


def supervision_policy(trainer: Trainer, sources: Sequence[Source], found: Iterable[Segment]) -> Policy:
    """What the trainer's arguments and the columns declare as supervised, as trl reads them."""
    args = trainer.args
    completion_only = getattr(trainer, "completion_only_loss", False)
    if getattr(args, "assistant_only_loss", False):
        return "every turn of the completion" if completion_only else "every turn"
    if completion_only:
        return "completion"
    if hasattr(args, "completion_only_loss") and not any(IGNORED in segment.labels[1:] for segment in found):
        return "whole row"
    if sources and all(isinstance(source, PlainText) and source.has_prompt for source in sources):
        return "completion"
    return "undeclared"


def limit_is_default(args: Any) -> bool:
    """Whether nobody chose ``max_length``: it is what the arguments' class would have set by itself."""
    defaults = {field.name: field.default for field in fields(args)} if is_dataclass(args) else {}
    return "max_length" in defaults and getattr(args, "max_length", None) == defaults["max_length"]
