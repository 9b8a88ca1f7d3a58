"""The result that a worked answer comes to, and whether it is right: GSM8K's two readings, as lm-eval has them."""

from __future__ import annotations

import re
from dataclasses import dataclass

IGNORED = tuple(map(re.compile, (",", r"\$", r"(?s).*#### ", r"\.$")))
"""What does not tell results apart: separators, dollars, all that comes before ``####``, a full stop."""


@dataclass(frozen=True)
class Extraction:
    """One way to read a result out of an answer: which match of a pattern it is, 0 the first and -1 the last."""

    name: str
    pattern: re.Pattern[str]
    place: int

    def found(self, answer: str) -> str | None:
        """Return the result as it is written, or None where the answer has none."""
        matches = list(self.pattern.finditer(answer))
        if not matches:
            return None
        return next(group for group in matches[self.place].groups() if group).strip()

    def is_right(self, answer: str, reference: str) -> bool:
        """Whether the result is that of the reference, which may be a worked answer itself."""
        result = self.found(answer)
        return result is not None and _plain(result) == _plain(reference)


STRICT = Extraction("strict-match", re.compile(r"#### (\-?[0-9\.\,]+)"), 0)
"""What GSM8K's answers end by: ``#### 18``."""

FLEXIBLE = Extraction("flexible-extract", re.compile(r"(-?[$0-9.,]{2,})|(-?[0-9]+)"), -1)
"""The last number, whatever stands around it."""


def _plain(result: str) -> str:
    for pattern in IGNORED:
        result = pattern.sub("", result)
    return result.lower()
