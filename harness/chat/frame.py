"""What a template writes around messages: found by rendering messages whose contents are sentinels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.chat.template import REFUSALS, render
from harness.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ONE_TURN = ("user", "assistant")
SEVERAL_TURNS = ("user", "assistant", "user", "assistant")


@dataclass(frozen=True)
class Frame:
    """A conversation of sentinels as rendered.

    ``literals`` has one entry more than there are messages: what stands before, between and after the contents.
    """

    text: str
    sentinels: tuple[str, ...]
    literals: tuple[str, ...]


def sentinel(position: int, role: str) -> str:
    """A word that no template writes, unlike every other: letters only, so that no filter changes it."""
    return f"zqx{role.lower()}{'abcdefghijklmnop'[position % 16]}xqz"


def sentinels(roles: Sequence[str]) -> tuple[str, ...]:
    """One sentinel for each message."""
    return tuple(sentinel(position, role) for position, role in enumerate(roles))


def sentinel_messages(roles: Sequence[str], parts: bool = False) -> list[dict[str, Any]]:
    """Messages whose contents are sentinels; as lists of typed parts where the template wants them so."""
    return [message(role, word, parts) for role, word in zip(roles, sentinels(roles), strict=True)]


def message(role: str, text: str, parts: bool = False) -> dict[str, Any]:
    """One message; its content is a list of one typed part where the template wants it so."""
    return {"role": role, "content": [{"type": "text", "text": text}] if parts else text}


def frame(
    tokenizer: PreTrainedTokenizerBase,
    roles: Sequence[str],
    generation_prompt: bool = False,
    parts: bool = False,
    **options: Any,
) -> Frame | None:
    """Render sentinels in these roles; None where the template refuses, or loses, doubles or reorders a content."""
    words = sentinels(roles)
    try:
        text = render(tokenizer, sentinel_messages(roles, parts), generation_prompt, **options)
    except REFUSALS:
        return None
    literals = split_at(text, words)
    return None if literals is None else Frame(text, words, literals)


def split_at(text: str, words: Sequence[str]) -> tuple[str, ...] | None:
    """The text around the words; None unless each occurs exactly once and in this order."""
    if any(text.count(word) != 1 for word in words):
        return None
    literals = []
    for word in words:
        before, found, text = text.partition(word)
        if not found:
            return None
        literals.append(before)
    return (*literals, text)


def wants_parts(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether contents must be lists of typed parts (templates of vision models); text is tried first.

    Raises:
        ModelError: the template renders a user's message in neither form.

    """
    if frame(tokenizer, ["user"], generation_prompt=True) is not None:
        return False
    if frame(tokenizer, ["user"], generation_prompt=True, parts=True) is not None:
        return True
    raise ModelError(
        f"the chat template renders no conversation of one user message: {_refusal(tokenizer)} (neither "
        "text nor a list of parts is taken as content); check tokenizer.chat_template with "
        "apply_chat_template([{'role': 'user', 'content': 'Hello'}])"
    )


def _refusal(tokenizer: PreTrainedTokenizerBase) -> str:
    """Why a user's message in plain text is not rendered: the first line of the template's error, or its silence."""
    try:
        render(tokenizer, sentinel_messages(["user"]), generation_prompt=True)
    except REFUSALS as error:
        lines = str(error).strip().splitlines()
        return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    return "it loses the content, or writes it twice"
