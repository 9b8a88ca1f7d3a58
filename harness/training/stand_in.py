"""A trainer for rows that come without one: trl's own preparation and collator, over a model too small to matter."""

from __future__ import annotations

import copy
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import datasets
import torch
from jinja2.exceptions import TemplateError
from transformers import LlamaConfig, LlamaForCausalLM
from trl import SFTConfig, SFTTrainer

from harness.chat.conversation import Conversation, read_row
from harness.chat.template import has_generation_markers, prepare
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
    marked = has_generation_markers(tokenizer)
    shaped = [_shape(row, number, keep_messages=marked) for number, row in enumerate(rows)]
    every_turn = marked and all("messages" in row for row in shaped)
    options = {
        "output_dir": str(Path(tempfile.gettempdir()) / "pytest-sft-stand-in"),  # nothing is ever saved there
        "assistant_only_loss": every_turn,
        "per_device_train_batch_size": 4,
        "max_length": None,
        "bf16": False,  # trl's default is autocast, also on a CPU
        "use_cpu": True,
        "report_to": "none",
        "save_strategy": "no",
        "seed": SEED,
    }
    try:
        with _quiet():
            return SFTTrainer(
                model=_tiny_model(tokenizer),
                args=SFTConfig(**(options | sft_options)),
                train_dataset=datasets.Dataset.from_list(shaped),
                processing_class=tokenizer,
            )
    except TemplateError as error:
        raise DataError(
            f"the chat template refuses a training row ({error}): change the roles, their order or the form of the "
            "contents, or use a template that takes them"
        ) from error


def _shape(row: Mapping[str, Any], number: int, keep_messages: bool) -> dict[str, Any]:
    """A row as trl reads it: messages, or their last assistant turn as the completion of those before."""
    read = read_row(row, number)
    if not isinstance(read, Conversation) or read.completion_from is not None:
        return dict(row)
    roles = [str(message["role"]) for message in read.messages]
    if "assistant" not in roles or (not keep_messages and roles[-1] != "assistant"):
        raise DataError(
            f"training row {number} does not end with an assistant turn (roles: {', '.join(roles)}), so nothing of it "
            "could be learned: name the roles system, user, assistant and tool, and let the answer come last"
        )
    beside = {key: value for key, value in row.items() if key in ("tools", "chat_template_kwargs")}
    messages = [dict(message) for message in read.messages]
    if keep_messages:
        return {"messages": messages, **beside}
    return {"prompt": messages[:-1], "completion": messages[-1:], **beside}


def _tiny_model(tokenizer: PreTrainedTokenizerBase) -> LlamaForCausalLM:
    highest = max(tokenizer.get_vocab().values())
    config = LlamaConfig(
        vocab_size=max(len(tokenizer), highest + 1),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=65536,  # rotary: costs nothing
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return LlamaForCausalLM(config)


@contextmanager
def _quiet() -> Iterator[None]:
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
