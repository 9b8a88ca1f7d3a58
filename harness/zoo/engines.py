"""The embedded pair behind engines as a user may have written them, and what they are asked."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from harness.models.base import Completion
from harness.models.fetch import Access
from harness.models.load import LoadOptions, load
from harness.models.local import LocalModel
from harness.models.stop_strings import StopStrings
from harness.models.weights import InMemory
from harness.records import Messages, Sample, SampleSet
from harness.references import parse_reference

QUESTIONS = (
    "Hi!",
    "Name a colour, please.",
    "What is the capital of France?",
    "Who are you, and what can you do for me?",
)


def asked(question: str, reference: str = "") -> Sample:
    """A question as a sample, named by itself."""
    messages = ({"role": "user", "content": question},)
    return Sample(question, question, messages, digest=question, references=(reference,) if reference else ())


SAMPLES = SampleSet("questions", tuple(map(asked, QUESTIONS)))


@functools.cache
def demo_model(which: str) -> LocalModel:
    """The embedded base or tuned model, loaded once."""
    access = Access(Path(tempfile.gettempdir()) / "pytest-sft-zoo", offline=True)
    return load(parse_reference(f"demo:{which}"), LoadOptions(access, device="cpu"))


def tuned_demo() -> LocalModel:
    """The tuned one: it ends its answers with ``<|im_end|>``, and ``<|endoftext|>`` would end them too."""
    return demo_model("tuned")


def engine(
    kind: type[LocalModel] = LocalModel, module: Any = None, stop_ids: frozenset[int] | None = None, **more: Any
) -> LocalModel:
    """The tuned demo in an engine of this kind; ``module`` and ``stop_ids`` take the place of its own."""
    demo = tuned_demo()
    weights = demo.weights if module is None else InMemory(module)
    stops = demo.stop_ids if stop_ids is None else stop_ids
    return kind(demo.name, weights, demo.tokenizer, stops, demo.budget, **more)


class OneByOne(LocalModel):
    """An engine that answers one prompt after the other; its ``_answer`` says how."""

    def _generate(
        self,
        prompts: Sequence[Messages | str],
        max_new_tokens: int,
        stop: StopStrings,  # noqa: ARG002 - ``generate`` cuts the answers
    ) -> Iterable[tuple[int, Completion]]:
        answers = (self._answer(self.prompt_ids(prompt), max_new_tokens) for prompt in prompts)
        return enumerate(map(self._completion, answers))

    def _answer(self, prompt: list[int], max_new_tokens: int) -> list[int]:
        raise NotImplementedError


class InOneBatch(LocalModel):
    """An engine that answers all prompts in one batch and cuts the answers afterwards; its ``_rows`` says how."""

    def _generate(
        self,
        prompts: Sequence[Messages | str],
        max_new_tokens: int,
        stop: StopStrings,  # noqa: ARG002 - ``generate`` cuts the answers
    ) -> Iterable[tuple[int, Completion]]:
        rows = self._rows([self.prompt_ids(prompt) for prompt in prompts], max_new_tokens)
        return enumerate(self._completion(self._to_the_end(ids)) for ids in rows)

    def _rows(self, encoded: list[list[int]], max_new_tokens: int) -> list[list[int]]:
        raise NotImplementedError

    def _to_the_end(self, ids: list[int]) -> list[int]:
        end = next((at for at, token in enumerate(ids) if token in self.stop_ids), len(ids))
        return ids[: end + 1]
