"""Faults between a model's ids and what a reader gets of them: half characters, and ids that are no token."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from harness.models.base import Completion
from harness.models.local import LocalModel
from harness.records import Messages, Sample, SampleSet
from harness.samples import sample_digest
from harness.zoo.engines import engine, tuned_demo
from harness.zoo.exhibit import Fault, Setup

QUESTIONS = (
    "What is the capital of Japan?",
    "日本的首都是哪里？",
    "What is the plural of mouse?",
    "英国的首都是哪里？",
)
"""The demo's model answers them; of its Chinese answers most characters are two or three tokens."""

PADDING = 64


def _asked() -> SampleSet:
    samples = [
        Sample(f"asked-{n}", text, ({"role": "user", "content": text},), sample_digest({"prompt": text}))
        for n, text in enumerate(QUESTIONS)
    ]
    return SampleSet("asked", tuple(samples))


@dataclass
class Streamed(LocalModel):
    """A model whose answers are put together token by token as they come."""

    def generate(
        self, prompts: Sequence[Messages | str], *, max_new_tokens: int, stop: Sequence[str] = ()
    ) -> list[Completion]:
        """Greedy completions whose text is the tokens' texts, one after the other."""
        whole = super().generate(prompts, max_new_tokens=max_new_tokens, stop=stop)
        return [replace(answer, text=self._joined(answer.ids)) for answer in whole]

    def _joined(self, ids: Sequence[int]) -> str:
        return "".join(self.tokenizer.decode([token], skip_special_tokens=True) for token in ids)


def _streamed() -> Setup:
    return Setup(model=engine(Streamed), samples=_asked())


def _padded(scale: float) -> Setup:
    """The model with rows that fill up its matrix, random ones of this standard deviation."""
    module = copy.deepcopy(tuned_demo().module)
    known = module.get_input_embeddings().weight.shape[0]
    module.resize_token_embeddings(known + PADDING, mean_resizing=False)
    noise = torch.randn(PADDING, module.config.hidden_size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        module.get_output_embeddings().weight[known:] = scale * noise
    return Setup(model=engine(LocalModel, module), samples=_asked())


FAULTS = (
    Fault(
        id="template-32",
        name="An answer is decoded token by token, which breaks the characters that several tokens share",
        source="antonellof/ferrox#124",
        inject=_streamed,
        caught_by=("stopping/answers_are_what_their_ids_say",),
        twin=lambda: Setup(model=tuned_demo(), samples=_asked()),
        where="in the decoder of the engine",
    ),
    Fault(
        id="template-39",
        name="The model answers with ids of the rows that only fill up its matrix",
        source="vllm-project/vllm#340",
        inject=lambda: _padded(scale=0.5),
        caught_by=("stopping/no_answer_leaves_the_vocabulary",),
        twin=lambda: _padded(scale=0.02),
    ),
)
