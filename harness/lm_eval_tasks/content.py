"""What a logged sample asked and what is right, all that its score depends on, by the digest of a benchmark's own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.benchmarks.asking import asked
from harness.benchmarks.catalogue import benchmark_called
from harness.benchmarks.record import Benchmark, Question
from harness.errors import DataError, UsageError
from harness.lm_eval_tasks.logged import Logged
from harness.requests import request_digest

Gold = int | str | list[int] | list[str]


@dataclass(frozen=True)
class Content:
    """The texts that were put to the model, as (context, continuation), and which of them, or what text, is right."""

    output: str
    requests: tuple[tuple[str, str], ...]
    gold: Gold
    data: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """A short hash of all of it."""
        return request_digest(self.requests, self.gold, self.data)

    @property
    def chance(self) -> float | None:
        """How often a guess is right; None where that is not known."""
        if self.output != "multiple_choice":
            return 0.0
        if isinstance(self.gold, list):
            return len(self.gold) / len(self.requests)
        return 1 / len(self.requests) if isinstance(self.gold, int) else None


def known_benchmark(task: str) -> Benchmark | None:
    """The benchmark of this package that is the same task under the same name."""
    try:
        return benchmark_called(task)
    except UsageError:
        return None


def content_of(output: str, benchmark: Benchmark | None, line: Logged) -> Content:
    """What a task of this output type asked by this line; of a benchmark, what is right is read from its own row."""
    requests = [(request[0], "".join(request[1:2])) for request in line.requests]
    if output == "multiple_choice":
        # acc_mutual_info asks for every choice once more, after nothing.
        requests = [request for request in requests if request[0]] or requests
    question = None if benchmark is None else _question(benchmark, line)
    gold = _gold(output, requests, line.target) if question is None else _right(question)
    return Content(output, tuple(requests), gold, {} if question is None else question.data)


def _question(benchmark: Benchmark, line: Logged) -> Question | None:
    """What the benchmark's record makes of the logged row; None where the row is not in any form of the set."""
    row = line.values.get("doc")
    if not isinstance(row, Mapping):
        return None
    try:
        return asked(benchmark, line.where, row).question
    except DataError:
        return None


def _right(question: Question) -> Gold:
    if question.target is not None:
        return question.target
    return list(question.right) if question.right else list(question.references)


def _gold(output: str, requests: list[tuple[str, str]], target: str) -> Gold:
    """lm-eval logs the index or the text of the right choice, as text; a continuation that is scored is gold itself."""
    if output in ("loglikelihood", "loglikelihood_rolling"):
        return []
    choices = [continuation.lstrip() for _, continuation in requests]
    if output != "multiple_choice" or len(set(choices)) == 1:
        return target
    if re.fullmatch(r"\d+", target) and int(target) < len(choices):
        return int(target)
    return choices.index(target.strip()) if choices.count(target.strip()) == 1 else target
