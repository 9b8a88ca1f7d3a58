"""How the pair is trained: pre-training on plain text, then tuning on chats with and without replay.

Both stages are trl's SFTTrainer over rows that are tokenised here, so that the base model never sees a control token
and the tuned ones learn from the assistant's turns alone.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count, islice
from pathlib import Path

import torch
from datasets import Dataset
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, set_seed
from trl import SFTConfig, SFTTrainer

from harness.demo.corpus import chat_rows, documents
from harness.demo.tokenizer import END_OF_TEXT, TERMINATOR, learn_tokenizer
from harness.records import Messages

Row = dict[str, list[int]]

_BLOCK = 128  # tokens in a pre-training row; no chat row is longer
_BATCH = 8
_SEED = 0
_THREADS = 2  # said, so that a machine with more cores does the same sums in the same order


@dataclass(frozen=True)
class Schedule:
    """Steps of eight rows, and the peak learning rate of a cosine, for each stage.

    ``replay`` is the share of the tuning rows that are blocks of the pre-training text.
    """

    pretraining_steps: int = 1200
    pretraining_rate: float = 4e-3
    epochs: int = 5
    tuning_rate: float = 7e-4
    replay: float = 0.2

    def scaled(self, scale: float) -> Schedule:
        """The same schedule with that share of its steps, and at least one epoch."""
        steps, epochs = round(self.pretraining_steps * scale), round(self.epochs * scale)
        return replace(self, pretraining_steps=max(1, steps), epochs=max(1, epochs))


def train_pair(output: Path, schedule: Schedule) -> None:
    """Train the base model and both tuned ones; write a folder for each under ``output``."""
    torch.set_num_threads(_THREADS)
    base = output / "base"
    pretrain(base, schedule)
    tune(base, output / "tuned", schedule, replay=schedule.replay)
    tune(base, output / "tuned-without-replay", schedule, replay=0.0)


def pretrain(output: Path, schedule: Schedule) -> None:
    """Train the base model on plain text and write its folder."""
    tokenizer = learn_tokenizer(documents())
    rows = _text_rows(tokenizer, schedule.pretraining_steps * _BATCH)
    _train(_new_model(tokenizer), tokenizer, rows, schedule.pretraining_rate, output)


def tune(base: Path, output: Path, schedule: Schedule, *, replay: float) -> None:
    """Tune the model in ``base`` on the chats, with a share of replayed text, and write its folder.

    The chats, their number of epochs, the seed and the learning rate do not depend on ``replay``: replayed rows come
    on top.
    """
    tokenizer = PreTrainedTokenizerFast.from_pretrained(base)
    tokenizer.eos_token = TERMINATOR
    chats = [_chat_row(tokenizer, messages) for messages in chat_rows()] * schedule.epochs
    replayed = _text_rows(tokenizer, round(len(chats) * replay / (1 - replay)))
    _train(LlamaForCausalLM.from_pretrained(base), tokenizer, chats + replayed, schedule.tuning_rate, output)


def _new_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    set_seed(_SEED)
    end = tokenizer.convert_tokens_to_ids(END_OF_TEXT)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=96,
            intermediate_size=256,
            num_hidden_layers=4,
            num_attention_heads=4,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=end,
            pad_token_id=end,
        )
    )


def _text_rows(tokenizer: PreTrainedTokenizerFast, number: int) -> list[Row]:
    return list(islice(_endless_text_rows(tokenizer), number))


def _endless_text_rows(tokenizer: PreTrainedTokenizerFast) -> Iterator[Row]:
    """Blocks of running text. Documents are parted by an empty line, so that the base has no token to stop with."""
    for seed in count():
        ids = tokenizer("\n\n".join(documents(seed))).input_ids
        for start in range(0, len(ids) - _BLOCK, _BLOCK):
            yield {"input_ids": ids[start : start + _BLOCK], "assistant_masks": [1] * _BLOCK}


def _chat_row(tokenizer: PreTrainedTokenizerFast, messages: Messages) -> Row:
    row = tokenizer.apply_chat_template(list(messages), return_dict=True, return_assistant_tokens_mask=True)
    return {"input_ids": row["input_ids"], "assistant_masks": row["assistant_masks"]}


def _train(
    model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, rows: list[Row], rate: float, output: Path
) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        trainer = SFTTrainer(
            model=model,
            processing_class=tokenizer,
            train_dataset=Dataset.from_list(rows),
            args=_config(rate, scratch),
        )
        trainer.train()
    stops = sorted({tokenizer.eos_token_id, tokenizer.pad_token_id})
    model.generation_config = GenerationConfig(eos_token_id=stops, pad_token_id=tokenizer.pad_token_id)
    model.config.use_cache = True  # the trainer turns it off, and it would be saved so
    model.save_pretrained(output)
    tokenizer.save_pretrained(output)


def _config(rate: float, scratch: str) -> SFTConfig:
    return SFTConfig(
        output_dir=scratch,
        per_device_train_batch_size=_BATCH,
        num_train_epochs=1,
        learning_rate=rate,
        lr_scheduler_type="cosine",
        warmup_steps=20,
        max_length=_BLOCK,
        seed=_SEED,
        use_cpu=True,
        bf16=False,
        activation_checkpointing=False,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
