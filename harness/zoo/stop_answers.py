"""Faults of the code that asks a model: they show in its answers, and no training is to blame."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial

import torch

from harness.metrics.quality import exact_match
from harness.models.base import Completion
from harness.models.local import LocalModel
from harness.records import Finding, SampleSet
from harness.zoo.engines import QUESTIONS, SAMPLES, InOneBatch, asked, engine, tuned_demo
from harness.zoo.exhibit import Fault, Setup


class WithoutAnEnd(LocalModel):
    """Asked without stop ids: answers go on behind their end, and cleaned text does not show it."""

    def _completion(self, ids: list[int]) -> Completion:
        text = self.tokenizer.decode(ids, skip_special_tokens=True)
        return Completion(text, self.tokenizer.decode(ids, skip_special_tokens=False), tuple(ids), "length")


class PaddedOnTheRight(InOneBatch):
    """A batch of prompts with the padding behind them, where the new tokens go on."""

    def _rows(self, encoded: list[list[int]], max_new_tokens: int) -> list[list[int]]:
        width = max(map(len, encoded))
        rows = torch.tensor([[*ids, *[self.pad_id] * (width - len(ids))] for ids in encoded])
        seen = torch.tensor([[1] * len(ids) + [0] * (width - len(ids)) for ids in encoded])
        for _ in range(max_new_tokens):
            with torch.inference_mode():
                newest = self.module(input_ids=rows, attention_mask=seen).logits[:, -1].argmax(-1)
            rows = torch.cat([rows, newest[:, None]], dim=1)
            seen = torch.cat([seen, torch.ones_like(newest)[:, None]], dim=1)
        answers: list[list[int]] = rows[:, width:].tolist()
        return answers


def _asked(kind: type[LocalModel] = LocalModel, unknown: Collection[str] = ()) -> Setup:
    """An engine of this kind that does not know of these stop tokens."""
    demo = tuned_demo()
    stops = demo.stop_ids - {demo.tokenizer.convert_tokens_to_ids(token) for token in unknown}
    return Setup(model=engine(kind, stop_ids=stops), samples=SAMPLES)


def _judged_with(limit: int) -> Setup:
    """Answers held against references that are longer than this limit, or fit into it."""

    def find() -> list[Finding]:
        long = SampleSet("long", tuple(asked(question, "A whole sentence is wanted here.") for question in QUESTIONS))
        return [
            Finding("answers cannot be judged", "long/exact_match", "a run that can be judged", problem, "see above")
            for problem in exact_match(tuned_demo(), long, max_new_tokens=limit).problems
        ]

    return Setup(more={JUDGED: find})


JUDGED = "quality/answers_are_near_the_references"
IDS = "stopping/answers_are_what_their_ids_say"

FAULTS = (
    Fault(
        id="stop-15",
        name="An evaluator knows one of the two stop ids",
        source="huggingface/trl#7039",
        inject=partial(_asked, unknown=["<|im_end|>"]),
        caught_by=(IDS,),
        twin=_asked,
    ),
    Fault(
        id="stop-20",
        name="Cleaned text hides that the model went on behind its end",
        source="meta-pytorch/torchtune#1555",
        inject=partial(_asked, WithoutAnEnd, unknown=["<|im_end|>", "<|endoftext|>"]),
        caught_by=("stopping/no_control_text_leaks_into_answers", IDS),
        twin=_asked,
    ),
    Fault(
        id="stop-21",
        name="Prompts of a batch are padded on the right before generation",
        source="huggingface/transformers#26569",
        inject=partial(_asked, PaddedOnTheRight),
        caught_by=("stopping/an_answer_does_not_depend_on_its_batch",),
        twin=_asked,
    ),
    Fault(
        id="stop-24",
        name="The limit of new tokens is below what the references need",
        source="behaviour of every evaluator with a fixed limit; huggingface/trl#7039 shows the accounting",
        inject=partial(_judged_with, 2),
        caught_by=(JUDGED,),
        twin=partial(_judged_with, 64),
    ),
)
