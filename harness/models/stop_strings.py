"""Stop strings: texts at which an answer ends, whatever tokens they come in.

What is left of an answer is what lm-eval's ``generate_until`` leaves of it. Unlike lm-eval, whose rows go on until the
whole batch has ended, a row ends where its own text has a stop string, so that no other row decides how far it is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness.errors import UsageError
from harness.models.base import Completion

SLACK = 4
"""Tokens before the longest stop string that are read with it: a character may begin in one and end in another, and
some decoders drop the space before the first word of what they are given."""


@dataclass(frozen=True)
class StopStrings:
    """The stop strings of one request. Raises UsageError for an empty one, which every text contains."""

    tokenizer: Any
    strings: tuple[str, ...] = ()
    _window: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not all(self.strings):
            raise UsageError("a stop string is empty, and would end every answer before its first word; leave it out.")
        # However a stop string is split into tokens, each of them holds one byte of it at least.
        longest = max((len(string.encode()) for string in self.strings), default=0)
        object.__setattr__(self, "_window", longest + SLACK)

    def end(self, ids: Sequence[int]) -> bool:
        """Whether the text of these ids holds a stop string, if it did not before the last of them."""
        return bool(self.strings) and self._in(ids[-self._window :]) and self._in(ids)

    def cut(self, answer: Completion) -> Completion:
        """The answer before its first stop string, if it has one; control tokens may spell it too."""
        text = answer.text
        for string in self.strings:
            text = text.split(string, 1)[0]
        spelled = text != answer.text or (answer.finish == "length" and self.end(answer.ids))
        return replace(answer, text=text, finish="stop") if spelled else answer

    def _in(self, ids: Sequence[int]) -> bool:
        """Control tokens are read as well: a stop string may be the text of one."""
        text = self.tokenizer.decode(list(ids), skip_special_tokens=False)
        return any(string in text for string in self.strings)
