"""lm-eval's engine, asked only what it has not answered before, in this run or an earlier one.

lm-eval has a cache of its own, which pickles what it keeps and goes by a name that the user gives it; this one is the
store of all other answers, whose keys tell models apart by their content.
"""

from __future__ import annotations

import importlib.metadata
import json
from collections.abc import Iterator, Sequence
from typing import Any

from harness.models.asked import Form, Kept, answered

AT_ONCE = 256
"""Requests that go to the engine together: it sorts them by length, and gives nothing back before the last."""


class KeptEngine:
    """Everything that the engine has, with its answers kept."""

    def __init__(self, engine: Any, kept: Kept) -> None:
        self._engine, self._kept = engine, kept
        self._version = importlib.metadata.version("lm_eval")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def loglikelihood(self, requests: Sequence[Any]) -> list[Any]:
        """(Log-probability, whether it is the likeliest) of each continuation."""
        return self._answered("loglikelihood", requests)

    def loglikelihood_rolling(self, requests: Sequence[Any]) -> list[Any]:
        """The log-probability of each text."""
        return self._answered("loglikelihood_rolling", requests)

    def generate_until(self, requests: Sequence[Any]) -> list[Any]:
        """The answer to each prompt; one that is drawn is drawn again each time."""
        if any(request.args[1].get("do_sample") for request in requests):
            replies: list[Any] = self._engine.generate_until(requests)
            return replies
        return self._answered("generate_until", requests)

    def _answered(self, method: str, requests: Sequence[Any]) -> list[Any]:
        def ask(places: list[int]) -> Iterator[dict[int, Any]]:
            for start in range(0, len(places), AT_ONCE):
                some = places[start : start + AT_ONCE]
                replies = getattr(self._engine, method)([requests[place] for place in some])
                yield dict(zip(some, replies, strict=True))

        questions = [(self._version, self._engine.max_length, method, request.args) for request in requests]
        return answered(self._kept, REPLY, questions, ask)


def _unpack(packed: bytes) -> Any:
    reply = json.loads(packed)
    return tuple(reply) if isinstance(reply, list) else reply


REPLY = Form[Any]("lm-eval", lambda reply: json.dumps(reply).encode(), _unpack)
