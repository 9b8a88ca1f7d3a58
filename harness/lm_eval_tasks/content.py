"""What a logged sample asked: the text, choices and target that its score depends on, and their digest."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.lm_eval_tasks.logged import Logged
from harness.samples import sample_digest


@dataclass(frozen=True)
class Content:
    """A sample's prompt, and its choices with the index of the right one (or the gold text where there is no index).

    ``ending`` is what is scored after each of the choices, which then are openings.
    """

    prompt: str
    choices: tuple[str, ...]
    target: int | str
    ending: str = ""

    @property
    def digest(self) -> str:
        """A short hash of all of it."""
        return sample_digest(vars(self))

    @property
    def chance(self) -> float | None:
        """How often a guess is right; None where that is not known: free text, several right choices."""
        return 1 / len(self.choices) if self.choices and isinstance(self.target, int) else None


def content_of(config: Mapping[str, Any], line: Logged) -> Content:
    """What a task asked by this line."""
    if config.get("output_type") != "multiple_choice":
        return Content(line.requests[0][0], line.requests[0][1:], line.target)
    # acc_mutual_info asks for every choice once more, after nothing.
    asked = [request for request in line.requests if request[0]] or list(line.requests)
    contexts = tuple(dict.fromkeys(context for context, *_ in asked))
    endings = tuple(ending for _, ending in asked)
    if len(contexts) > 1:
        return Content("", contexts, line.target, endings[0])
    delimiter = str(config.get("target_delimiter", " "))
    choices = tuple(ending.removeprefix(delimiter) for ending in endings)
    return Content(contexts[0], choices, _index(line.target, choices))


def _index(target: str, choices: tuple[str, ...]) -> int | str:
    """lm-eval logs the index or the text of the right choice as text."""
    if re.fullmatch(r"\d+", target) and int(target) < len(choices):
        return int(target)
    return choices.index(target) if choices.count(target) == 1 else target
