"""What a metric may ask of a model. A new engine (a server, a cluster) is one class with these three methods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from harness.records import Messages


@dataclass(frozen=True)
class Completion:
    """A greedy answer to one prompt.

    ``text`` is without control tokens; ``raw`` is the same ids decoded with them. ``finish`` is ``terminator`` when
    the last id is one of the model's stop ids, ``stop`` when one of the stop strings that were asked for ended the
    answer (``text`` then ends before it; ``raw`` and ``ids`` hold it), ``length`` when the limit cut the answer off.
    """

    text: str
    raw: str
    ids: tuple[int, ...]
    finish: Literal["terminator", "stop", "length"]


@dataclass(frozen=True)
class LogLikelihood:
    """Natural-log probability of a continuation after its context.

    ``total`` sums over the continuation's tokens; ``greedy`` tells that each of them was the most likely one.
    """

    total: float
    greedy: bool
    tokens: int


class Model(Protocol):
    """A model that can be asked the three questions."""

    name: str

    @property
    def template_digest(self) -> str:
        """Short hash of the chat template that ``generate`` renders messages with."""
        ...

    def generate(
        self, prompts: Sequence[Messages | str], *, max_new_tokens: int, stop: Sequence[str] = ()
    ) -> list[Completion]:
        """Greedy completions, in the order of the prompts. A text is encoded as it is; messages are rendered.

        A stop string ends an answer as soon as the answer's text holds it, in whatever tokens.
        """
        ...

    def loglikelihood(self, pairs: Sequence[tuple[Messages | str, str]]) -> list[LogLikelihood]:
        """Log-likelihood of each (context, continuation); split as lm-eval splits it (trailing spaces move right)."""
        ...

    def token_losses(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        """Negative natural-log probability of every token of each text; long texts in disjoint windows."""
        ...
