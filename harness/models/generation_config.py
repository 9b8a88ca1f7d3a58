"""What a checkpoint's generation config would do to the end of an answer, wherever it is served with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.chat.probe import ChatProbe
from harness.records import Finding


def nothing_holds_the_terminator_back(config: Any, habits: ChatProbe) -> list[Finding]:
    """The model may end its answer at any time: no least length, no ban on the terminator."""
    token = habits.terminator_id
    return [
        Finding(
            "the generation config keeps the model from ending its answer",
            f"generation_config.{key}",
            f"nothing that forbids the terminator {habits.terminator!r} (id {token})",
            repr(getattr(config, key)),
            f"remove {key} from generation_config.json, or pass it only to the call that needs it",
        )
        for key in _holding_back(config, token)
    ]


def _holding_back(config: Any, token: int | None) -> Iterator[str]:
    for key in ("min_length", "min_new_tokens"):
        if (getattr(config, key, None) or 0) > 1:
            yield key
    for key in ("suppress_tokens", "begin_suppress_tokens"):
        if token in (getattr(config, key, None) or ()):
            yield key
    if [token] in (getattr(config, "bad_words_ids", None) or ()):
        yield "bad_words_ids"
