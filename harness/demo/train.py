"""How the pair is trained: pre-training on plain text, then tuning on chats with and without replay.

Both stages are trl's SFTTrainer over rows that are tokenised here, so that the base model never sees a control token
and the tuned ones learn from the assistant's turns alone.
"""

from __future__ import annotations

import random
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed
from trl import SFTConfig, SFTTrainer

from harness.demo.corpus import chat_rows, documents
from harness.demo.tokenizer import END_OF_TEXT, TERMINATOR, learn_tokenizer

Row = dict[str, list[int]]

_BLOCK = 128
_SEED = 0


@dataclass(frozen=True)
class Schedule:
    """How long and how hard to train: passes over the text, epochs over the chats, and the peak learning rates.

    ``replay`` is the share of tuning rows that are blocks of the pre-training text.
    """

    passes: int = 25
    pretraining_rate: float = 4e-3
    epochs: int = 8
    tuning_rate: float = 3e-3
    replay: float = 0.2

    def shortened(self, scale: float) -> Schedule:
        """The same schedule with fewer steps."""
        return Schedule(
            max(1, round(self.passes * scale)), self.pretraining_rate, max(1, round(self.epochs * scale)),
            self.tuning_rate, self.replay,
        )


def train_pair(output: Path, schedule: Schedule) -> None:
    """Train the base model and both tuned ones, and write a folder for each under ``output``."""
    torch.set_num_threads(2)
    tokenizer = learn_tokenizer(documents())
    _train(_new_model(tokenizer), tokenizer, _text_blocks(tokenizer, schedule.passes), schedule.pretraining_rate, 1, output / "base")
    chats = [_chat_row(tokenizer, list(messages)) for messages in chat_rows()]
    for name, replay in (("tuned", schedule.replay), ("tuned-without-replay", 0.0)):
        rows = chats * schedule.epochs
        if replay:
            count = round(len(rows) * replay / (1 - replay))
            blocks = _text_blocks(tokenizer, 1 + count * _BLOCK // 60000)
            rows = rows + blocks[:count]
        model = LlamaForCausalLM.from_pretrained(output / "base")
        tuned_tok = PreTrainedTokenizerFast.from_pretrained(output / "base", eos_token=TERMINATOR)
        _train(model, tuned_tok, rows, schedule.tuning_rate, 1, output / name)


def _new_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    set_seed(_SEED)
    end = tokenizer.convert_tokens_to_ids(END_OF_TEXT)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=96, intermediate_size=256, num_hidden_layers=4, num_attention_heads=4,
            num_key_value_heads=4, max_position_embeddings=512, tie_word_embeddings=True,
            bos_token_id=None, eos_token_id=end, pad_token_id=end,
        )
    )


def _text_blocks(tokenizer: PreTrainedTokenizerFast, passes: int) -> list[Row]:
    texts = documents()
    rng = random.Random(_SEED)
    order = [text for _ in range(passes) for text in rng.sample(texts, len(texts))]
    ids = tokenizer("\n\n".join(order)).input_ids
    blocks = [ids[start : start + _BLOCK] for start in range(0, len(ids) - _BLOCK, _BLOCK)]
    return [{"input_ids": block, "assistant_masks": [1] * _BLOCK} for block in blocks]


def _chat_row(tokenizer: PreTrainedTokenizerFast, messages: list[Any]) -> Row:
    row = tokenizer.apply_chat_template(messages, return_dict=True, return_assistant_tokens_mask=True)
    return {"input_ids": row["input_ids"], "assistant_masks": row["assistant_masks"]}


def _train(model: Any, tokenizer: Any, rows: list[Row], rate: float, epochs: int, output: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        trainer = SFTTrainer(
            model=model,
            processing_class=tokenizer,
            train_dataset=Dataset.from_list(rows),
            args=SFTConfig(
                output_dir=scratch, per_device_train_batch_size=8, learning_rate=rate, num_train_epochs=epochs,
                lr_scheduler_type="cosine", warmup_steps=20, weight_decay=0.0, max_length=_BLOCK, bf16=False, use_cpu=True,
                save_strategy="no", disable_tqdm=True, report_to="none", logging_steps=100, seed=_SEED, gradient_checkpointing=False,
                dataloader_pin_memory=False,
            ),
        )
        trainer.train()
    model.generation_config = GenerationConfig(
        eos_token_id=sorted({tokenizer.eos_token_id, tokenizer.pad_token_id}), pad_token_id=tokenizer.pad_token_id
    )
    model.config.eos_token_id = tokenizer.eos_token_id
    model.save_pretrained(output)
    tokenizer.save_pretrained(output)
