"""How the answers of a benchmark are asked for: as plain text or as a chat, up to which strings, and how long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from harness.metrics.measuring import require_one_each
from harness.models.base import Completion, Model
from harness.records import Sample, SampleSet


@dataclass(frozen=True)
class Asking:
    """One way of asking. Without ``chat`` the prompt is continued as it is, as lm-eval does without a template."""

    chat: bool
    stop: tuple[str, ...]
    max_new_tokens: int

    def answers(self, model: Model, samples: SampleSet | Sequence[Sample]) -> dict[str, Completion]:
        """The greedy answer to each sample, by its id."""
        asked = list(samples)
        prompts = [sample.messages if self.chat else sample.prompt for sample in asked]
        replies = model.generate(prompts, max_new_tokens=self.max_new_tokens, stop=self.stop)
        require_one_each("answers", len(asked), len(replies))
        return {sample.id: reply for sample, reply in zip(asked, replies, strict=True)}

    def signature(self, model: Model) -> str:
        """The part of a signature that tells how the answers were made."""
        layout = f"format:chat|template:{model.template_digest}" if self.chat else "format:plain"
        strings = ",".join(quote(string, safe=" ") for string in self.stop)
        return f"answers:greedy|limit:{self.max_new_tokens}|stop:{strings}|{layout}"
