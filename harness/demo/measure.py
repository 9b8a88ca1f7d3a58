"""The demo's own figures, by plain transformers calls: independent of the metrics that the suites use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sacrebleu
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from harness.demo.corpus import translations
from harness.demo.samples import Line, quality_samples, questions, stopping_samples

_MAX_NEW_TOKENS = 48
_BATCH = 64


@dataclass(frozen=True)
class Figures:
    """What one checkpoint does on the bundled files. Rates and accuracies run from 0 to 1, BLEU from 0 to 100."""

    acc: float
    stop_rate: float
    exact_match: float
    bleu: float
    translations: float


@dataclass(frozen=True)
class Answer:
    """A greedy answer, and whether a stop token ended it before the limit."""

    text: str
    stopped: bool


class Checkpoint:
    """A checkpoint in fp32 on the CPU, with the two things that are asked of it."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    @torch.inference_mode()
    def answers(self, chats: Sequence[Sequence[Any]], max_new_tokens: int = _MAX_NEW_TOKENS) -> list[Answer]:
        """Greedy answers to chats, rendered with the generation prompt."""
        batch = self.tokenizer.apply_chat_template(
            [list(chat) for chat in chats],
            add_generation_prompt=True,
            return_dict=True,
            return_tensors="pt",
            padding=True,
            tokenizer_kwargs={"padding_side": "left"},
        )
        output = self.model.generate(**batch, do_sample=False, max_new_tokens=max_new_tokens)
        stops = torch.tensor(self.model.generation_config.eos_token_id)
        new = output[:, batch["input_ids"].shape[1] :]
        return [
            Answer(self.tokenizer.decode(ids, skip_special_tokens=True).strip(), bool(torch.isin(ids, stops).any()))
            for ids in new
        ]

    @torch.inference_mode()
    def choose(self, lines: Sequence[Line]) -> list[int]:
        """The likeliest choice of each multiple-choice line: the highest summed log-likelihood, as lm-eval's acc."""
        contexts = [line["prompt"] for line in lines for _ in line["choices"]]
        choices = [choice for line in lines for choice in line["choices"]]
        totals = [
            total
            for start in range(0, len(choices), _BATCH)
            for total in self._totals(contexts[start : start + _BATCH], choices[start : start + _BATCH])
        ]
        return [int(row.argmax()) for row in torch.tensor(totals).view(len(lines), -1)]

    def _totals(self, contexts: list[str], choices: list[str]) -> list[float]:
        texts = [f"{context} {choice}" for context, choice in zip(contexts, choices, strict=True)]
        batch = self.tokenizer(texts, return_tensors="pt", padding=True, padding_side="right")
        ids, mask = batch["input_ids"], batch["attention_mask"]
        logits = self.model(input_ids=ids, attention_mask=mask).logits[:, :-1]
        losses = torch.nn.functional.cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
        starts = torch.tensor([len(encoded) for encoded in self.tokenizer(contexts).input_ids])
        position = torch.arange(1, ids.shape[1])
        counted = (position >= starts[:, None]) & (mask[:, 1:] == 1)
        totals: list[float] = (-losses * counted).sum(1).tolist()
        return totals


def measure(folder: Path) -> Figures:
    """All figures of the checkpoint in ``folder``."""
    checkpoint = Checkpoint(folder)
    asked = questions()
    right = [choice == line["target"] for choice, line in zip(checkpoint.choose(asked), asked, strict=True)]
    stopped = [answer.stopped for answer in checkpoint.answers([as_chat(line) for line in stopping_samples()])]
    quality = quality_samples()
    answers = [answer.text for answer in checkpoint.answers([as_chat(line) for line in quality])]
    references = [line["references"][0] for line in quality]
    _, held_out = translations()
    translated = [answer.text for answer in checkpoint.answers([row[:-1] for row in held_out])]
    return Figures(
        acc=_mean(right),
        stop_rate=_mean(stopped),
        exact_match=_mean([answer == gold for answer, gold in zip(answers, references, strict=True)]),
        bleu=sacrebleu.corpus_bleu(answers, [references], tokenize="zh").score,
        translations=_mean([answer == row[-1]["content"] for answer, row in zip(translated, held_out, strict=True)]),
    )


def as_chat(line: Line) -> list[Any]:
    """A bundled line as messages."""
    return line["messages"] if "messages" in line else [{"role": "user", "content": line["prompt"]}]


def _mean(values: Sequence[bool]) -> float:
    return sum(values) / len(values)
