"""A trainer for rows that come without one: trl's own preparation and collator, over a model too small to matter."""

from __future__ import annotations

import atexit
import copy
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import datasets
import torch
from transformers import LlamaConfig, LlamaForCausalLM
from trl import SFTConfig, SFTTrainer

from harness.chat.control import control_ids
from harness.chat.conversation import Conversation, PlainText, read_row
from harness.chat.spans import generation_marks
from harness.chat.template import REFUSALS, has_generation_markers, prepare, render
from harness.errors import DataError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SEED = 20


def stand_in_trainer(
    tokenizer: PreTrainedTokenizerBase, rows: Sequence[Mapping[str, Any]], **sft_options: Any
) -> SFTTrainer:
    """The trainer that trl would make of these rows, with a random model of this tokenizer's vocabulary.

    Rows of messages are supervised on every assistant turn where the template marks them, else on the last one.
    ``sft_options`` are those of ``trl.SFTConfig``.

    Raises:
        DataError: there are no rows, one of them has no assistant turn, or the template refuses one.

    """
    if not rows:
        raise DataError("there are no training rows to check: give at least one")
    tokenizer = copy.deepcopy(tokenizer)
    prepare(tokenizer)
    read = [read_row(row, number) for number, row in enumerate(rows)]
    for number, row in enumerate(read):
        _check(tokenizer, row, number)
    chats = [row for row in read if isinstance(row, Conversation)]
    marked = (
        has_generation_markers(tokenizer)
        and len(chats) == len(read)
        and all(any(marks) for marks in generation_marks(tokenizer, chats))
    )
    options = {
        "output_dir": nowhere(),
        "assistant_only_loss": marked,
        "per_device_train_batch_size": 4,
        "max_length": None,
        "bf16": False,  # trl's default is autocast, also on a CPU
        "use_cpu": True,
        "report_to": "none",
        "save_strategy": "no",
        "seed": SEED,
    }
    with quiet():
        return SFTTrainer(
            model=tiny_model(tokenizer),
            args=SFTConfig(**(options | sft_options)),
            train_dataset=datasets.Dataset.from_list([_shaped(row, keep_messages=marked) for row in read]),
            processing_class=tokenizer,
        )


def _check(tokenizer: PreTrainedTokenizerBase, row: Conversation | PlainText, number: int) -> None:
    """A conversation has an answer at its end, and the template takes it."""
    if isinstance(row, PlainText):
        return
    roles = [str(message["role"]) for message in row.messages]
    if roles[-1] != "assistant":
        raise DataError(
            f"training row {number} does not end with an assistant turn (roles: {', '.join(roles)}), so nothing of its "
            "end could be learned: name the roles system, user, assistant and tool, and let the answer come last"
        )
    try:
        render(tokenizer, row.messages, **row.options)
    except REFUSALS as error:
        raise DataError(
            f"the chat template refuses training row {number} ({error}): change its roles, their order or the form of "
            "the contents, or use a template that takes them"
        ) from error


def _shaped(row: Conversation | PlainText, keep_messages: bool) -> dict[str, Any]:
    """A row as trl reads it: messages, or their last turn as the completion of those before."""
    if isinstance(row, PlainText):
        return {"prompt": row.prompt, "completion": row.completion} if row.has_prompt else {"text": row.completion}
    options = dict(row.options)
    beside = {"tools": options.pop("tools")} if "tools" in options else {}
    if options:
        beside["chat_template_kwargs"] = options
    messages = [dict(message) for message in row.messages]
    if keep_messages and row.completion_from is None:
        return {"messages": messages, **beside}
    split = len(messages) - 1 if row.completion_from is None else row.completion_from
    return {"prompt": messages[:split], "completion": messages[split:], **beside}


def nowhere() -> str:
    """A folder for trainers that never save: it goes when Python ends, since each trainer makes it anew."""
    folder = tempfile.mkdtemp(prefix="pytest-sft-stand-in-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def tiny_model(tokenizer: PreTrainedTokenizerBase) -> LlamaForCausalLM:
    """A random Llama of one layer and 16 dimensions over the tokenizer's vocabulary, the same for every call."""
    highest = max(tokenizer.get_vocab().values())
    config = LlamaConfig(
        vocab_size=max(len(tokenizer), highest + 1),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        initializer_range=0.5,  # so that attention depends on positions; at 0.02 every order gives the same loss
        max_position_embeddings=65536,  # rotary: costs nothing
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        model = LlamaForCausalLM(config)
    # It was never asked anything: where the real model stops is not its to say, so it stops at every control token.
    model.generation_config.eos_token_id = sorted(control_ids(tokenizer))
    return model


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars for a handful of rows, and no warning about a setting that trl itself makes."""
    disabled = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"`\w*gradient_checkpointing\w*` is deprecated", FutureWarning)
            yield
    finally:
        if not disabled:
            datasets.enable_progress_bars()
