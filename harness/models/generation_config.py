"""What a checkpoint's generation config would do to the end of an answer, wherever it is served with it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness.chat.probe import ChatProbe
from harness.records import Finding


def nothing_holds_the_terminator_back(config: Any, habits: ChatProbe) -> list[Finding]:
    """The model may answer and end its answer as it likes: no least length, no ban on the terminator, no forced token.

    A ban at the first position alone (``begin_suppress_tokens``) only forbids empty answers, which is legitimate.
    """
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
    if token in (getattr(config, "suppress_tokens", None) or ()):
        yield "suppress_tokens"
    if [token] in (getattr(config, "bad_words_ids", None) or ()):
        yield "bad_words_ids"
    if any(list(ids) == [token] and bias < 0 for ids, bias in _biases(config)):
        yield "sequence_bias"
    if getattr(config, "forced_bos_token_id", None) is not None:
        yield "forced_bos_token_id"


def _biases(config: Any) -> list[tuple[Any, float]]:
    """``sequence_bias`` is a dict from tuples of ids, or a list of pairs where it comes from a JSON file."""
    stated = getattr(config, "sequence_bias", None) or {}
    return list(stated.items()) if isinstance(stated, dict) else [(ids, bias) for ids, bias in stated]
