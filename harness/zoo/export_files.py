"""Faults of what is delivered beside the weights: templates, stop ids and ties that were lost or exchanged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from harness.models.base import Completion
from harness.models.local import LocalModel
from harness.zoo.deliveries import base, copied, delivered, tensors_changed
from harness.zoo.engines import SAMPLES, tuned_demo
from harness.zoo.exhibit import Fault, Setup
from harness.zoo.parts import CHATML, ROWS, WITH_BOS, checkpoint_of, record_of, tokenizer_with, written_out

COMPLETE = "handover/files_are_complete"
TIED = "handover/tied_heads_agree_with_the_config"
RECORDED = "template/the_template_is_the_recorded_one"
STOPS = "stopping/generation_stops_where_the_template_ends_a_turn"
EMPTY = "stopping/few_answers_are_empty"
OTHER = CHATML.replace("<|im_start|>' + m['role'] + '\n'", "<|im_start|>' + m['role'] + ': '")


def _without_template(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()


def _converted(folder: Path) -> None:
    """As reading a GGUF file leaves a checkpoint."""
    (folder / "source.json").write_text('{"gguf": "model.gguf"}', encoding="utf-8")


def _converted_without_template(folder: Path) -> None:
    _converted(folder)
    _without_template(folder)


def _exported(change: Callable[[Path], None] = lambda _: None, **settings: Any) -> Setup:
    original = base(**settings)
    return Setup(delivery=delivered(copied(original, change), same_as=original))


def _served_with(template: str) -> Setup:
    """A checkpoint with this template, which was trained with ChatML."""
    known = {"the training": record_of(tokenizer_with(CHATML))}
    return Setup(checkpoint=checkpoint_of(tokenizer_with(template), recorded=known))


def _stops_at(unused: bool) -> Setup:
    tokenizer = tokenizer_with(CHATML)
    return Setup(checkpoint=checkpoint_of(tokenizer, **({"stop_ids": frozenset({3})} if unused else {})))


class EndsAtOnce(LocalModel):
    """Stops before the first token, as where padding at the end of a prompt is a stop id."""

    def _completion(self, ids: list[int]) -> Completion:  # noqa: ARG002
        end = self.tokenizer.eos_token_id
        return Completion("", self.tokenizer.decode([end]), (end,), "terminator")


def _answering(kind: type[LocalModel] = LocalModel) -> Setup:
    model = tuned_demo()
    asked = kind(model.name, model.weights, model.tokenizer, model.stop_ids, model.budget)
    return Setup(model=asked, samples=SAMPLES)


def _served_prompts(doubled: bool) -> Setup:
    """Rendered conversations that are tokenised once more, by a tokenizer that puts a BOS before every text."""
    tokenizer = tokenizer_with(WITH_BOS, adds_bos=True)
    texts = [tokenizer.apply_chat_template(row["messages"], tokenize=False) for row in ROWS]
    return Setup(trainer=written_out(tokenizer, texts, add_special_tokens=doubled))


def _other_head(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    embedding = tensors["model.embed_tokens.weight"]
    return tensors | {"lm_head.weight": embedding + 0.1 * torch.ones_like(embedding)}


def _tied(head: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> Setup:
    return Setup(delivery=delivered(copied(base(tied=True), tensors_changed("model.safetensors", head))))


FAULTS = (
    Fault(
        id="export-01",
        name="The export has no chat template",
        source="huggingface/text-generation-inference#3247",
        inject=lambda: _exported(_without_template),
        caught_by=(COMPLETE,),
        twin=_exported,
    ),
    Fault(
        id="export-02",
        name="The export has another chat template than the training had",
        source="hiyouga/LLaMA-Factory#7785",
        inject=lambda: _served_with(OTHER),
        caught_by=(RECORDED,),
        twin=lambda: _served_with(CHATML),
    ),
    Fault(
        id="export-03",
        name="Generation stops at an id that the template never writes",
        source="hiyouga/LLaMA-Factory#9338",
        inject=lambda: _stops_at(unused=True),
        caught_by=(STOPS,),
        twin=lambda: _stops_at(unused=False),
    ),
    Fault(
        id="export-04",
        name="The pad token is among the stop ids, and prompts that end in padding are answered with nothing",
        source="huggingface/transformers#48016",
        inject=lambda: _answering(EndsAtOnce),
        caught_by=(EMPTY,),
        twin=_answering,
        where="in the answers",
    ),
    Fault(
        id="export-05",
        name="The server puts a BOS before prompts that have one",
        source="vllm-project/vllm#16976",
        inject=lambda: _served_prompts(doubled=True),
        caught_by=("mask/rows_start_with_one_bos_at_most",),
        twin=lambda: _served_prompts(doubled=False),
        where="in the texts that are tokenised again",
    ),
    Fault(
        id="export-08",
        name="The config ties head and embedding, and the file holds two that differ",
        source="huggingface/peft#2777",
        inject=lambda: _tied(_other_head),
        caught_by=(TIED,),
        twin=lambda: _tied(dict),
    ),
    Fault(
        id="export-10",
        name="The converter has lost the chat template",
        source="ollama/ollama#6823",
        inject=lambda: _exported(_converted_without_template),
        caught_by=(COMPLETE,),
        twin=lambda: _exported(_converted),
        where="in the folder that a GGUF file is read into",
    ),
)
