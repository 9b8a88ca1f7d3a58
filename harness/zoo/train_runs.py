"""Faults of whole runs: resumed without what they need, judged by a metric upside down, trained on an old template."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from transformers import DataCollatorForSeq2Seq, LlamaForCausalLM, Trainer

from harness.chat.template import encode
from harness.inspection.stand_in import tiny_model
from harness.zoo.exhibit import Fault, Setup
from harness.zoo.parts import CHATML, ROWS, learned_whole, loop_of, plain_trainer, tokenizer_with

RESUMING = "training/resuming_equals_no_interruption"
BEST = "training/the_best_checkpoint_is_the_best"
WITH_OLD_MARKS = CHATML.replace("<|im_start|>' + m", "<|im_start|> ' + m")


class _ForgetsRandomStates(Trainer):  # type: ignore[misc]  # transformers has no types
    def _save_rng_state(self, output_dir: str) -> None:
        """Keep none, as some checkpoints did."""


class _ForgetsOptimizer(Trainer):  # type: ignore[misc]  # transformers has no types
    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        super()._save_optimizer_and_scheduler(output_dir)
        Path(output_dir, "optimizer.pt").unlink()


def _resumed(kind: type[Trainer] = Trainer, **options: Any) -> Setup:
    """A trainer of a model with dropout, so that the random states matter."""
    tokenizer = tokenizer_with(CHATML)
    config = tiny_model(tokenizer).config
    config.attention_dropout = 0.2
    model = LlamaForCausalLM(config)
    model.generation_config.eos_token_id = sorted(tokenizer.get_added_vocab().values())
    return Setup(loop=loop_of(_on_chats(tokenizer, kind, model=model, **options)))


def _on_chats(tokenizer: Any, kind: Any = Trainer, **options: Any) -> Any:
    prepared = _prepared(tokenizer)
    settings = {"per_device_train_batch_size": 2, "learning_rate": 1e-3, "num_train_epochs": 3} | options
    return plain_trainer(tokenizer, prepared * 4, DataCollatorForSeq2Seq(tokenizer), kind=kind, **settings)


def _prepared(tokenizer: Any) -> list[dict[str, list[int]]]:
    return [{"input_ids": ids, "labels": ids} for ids in (encode(tokenizer, row["messages"]) for row in ROWS)]


def _judged_by(metric: str, greater: bool | None) -> Setup:
    """A trainer that keeps the best checkpoint by a metric of its own."""
    tokenizer = tokenizer_with(CHATML)
    trainer = _on_chats(
        tokenizer,
        kind=partial(Trainer, eval_dataset=Dataset.from_list(_prepared(tokenizer)), compute_metrics=_perplexity),
        load_best_model_at_end=True,
        metric_for_best_model=metric,
        greater_is_better=greater,
        save_strategy="steps",
        eval_strategy="steps",
        eval_steps=10,
        save_steps=10,
    )
    return Setup(loop=loop_of(trainer))


def _perplexity(asked: Any) -> dict[str, float]:
    logits, labels = torch.tensor(asked.predictions[:, :-1]), torch.tensor(asked.label_ids[:, 1:])
    loss = torch.nn.functional.cross_entropy(logits.transpose(1, 2), labels)
    return {"perplexity": float(np.exp(min(float(loss), 80.0)))}


def _prepared_by(template: str) -> Setup:
    """Rows that were tokenised with one template, in a trainer whose tokenizer has another by now."""
    old = tokenizer_with(template)
    trainer = learned_whole(tokenizer_with(CHATML), [encode(old, row["messages"]) for row in ROWS])
    return Setup(trainer=trainer, rows=ROWS)


FAULTS = (
    Fault(
        id="train-18",
        name="A checkpoint without random states: after resuming, dropout is another one",
        source="huggingface/transformers#17032",
        inject=lambda: _resumed(_ForgetsRandomStates),
        caught_by=(RESUMING,),
        twin=_resumed,
    ),
    Fault(
        id="train-19",
        name="A checkpoint without the optimizer's state is resumed with a new one",
        source="huggingface/transformers, Trainer._load_optimizer_and_scheduler",
        inject=lambda: _resumed(_ForgetsOptimizer),
        caught_by=(RESUMING,),
        twin=_resumed,
    ),
    Fault(
        id="train-29",
        name="Rows from a cache that was written with an older template",
        source="allenai/open-instruct#1497",
        inject=lambda: _prepared_by(WITH_OLD_MARKS),
        caught_by=("mask/rows_are_what_the_template_renders",),
        twin=lambda: _prepared_by(CHATML),
    ),
    Fault(
        id="train-36",
        name="The checkpoint with the highest perplexity is kept as the best",
        source="huggingface/transformers#31142",
        inject=lambda: _judged_by("perplexity", None),
        caught_by=(BEST,),
        twin=lambda: _judged_by("perplexity", greater=False),
    ),
)
