"""Faults in the files of a checkpoint: another tokenizer, or another template, than the one that was trained."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from tokenizers import Regex, pre_tokenizers
from transformers import AutoTokenizer

from harness.chat.template import prepare
from harness.zoo.exhibit import Fault, Setup
from harness.zoo.parts import CHATML, checkpoint_of, record_of, tokenizer_with


def _saved(tokenizer: Any, **settings: Any) -> Path:
    """A folder with the tokenizer's files, kept until the process ends; ``settings`` go into its config."""
    folder = Path(tempfile.mkdtemp(prefix="pytest-sft-zoo-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    tokenizer.save_pretrained(folder)
    config = folder / "tokenizer_config.json"
    stated = json.loads(config.read_text(encoding="utf-8")) | settings
    config.write_text(json.dumps(stated), encoding="utf-8")
    return folder


def _in_single_digits() -> Any:
    """A tokenizer that takes numbers apart into digits, and says so in its tokenizer.json alone."""
    tokenizer = tokenizer_with(CHATML)
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\p{N}|[^\p{N}\s]+|\s+"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    return tokenizer


def _loaded_as(kind: str) -> Setup:
    folder = _saved(_in_single_digits(), tokenizer_class=kind)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = CHATML
    return Setup(tokenizer=tokenizer, checkpoint=checkpoint_of(tokenizer, folder=folder))


def _saved_after_a_call(**call: Any) -> Setup:
    tokenizer = tokenizer_with(CHATML)
    tokenizer("The gate opens at noon and closes at six.", **call)
    folder = _saved(tokenizer)
    loaded = AutoTokenizer.from_pretrained(folder)
    return Setup(tokenizer=loaded, checkpoint=checkpoint_of(loaded, folder=folder))


def _loaded_without(file: str) -> Setup:
    """What is loaded from the folder once this file has been left behind, beside what was trained."""
    trained = tokenizer_with(CHATML)
    folder = _saved(trained)
    (folder / file).unlink(missing_ok=True)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    prepare(tokenizer)
    recorded = {"the training": record_of(trained)}
    return Setup(tokenizer=tokenizer, checkpoint=checkpoint_of(tokenizer, folder=folder, recorded=recorded))


FAULTS = (
    Fault(
        id="template-27",
        name="The tokenizer is rebuilt by its class and forgets how its file splits text",
        source="huggingface/transformers#45812",
        inject=lambda: _loaded_as("Qwen2Tokenizer"),
        caught_by=("template/the_tokenizer_is_what_its_file_says",),
        twin=lambda: _loaded_as("PreTrainedTokenizerFast"),
    ),
    Fault(
        id="template-29",
        name="The truncation of one call is saved in tokenizer.json",
        source="vllm-project/llm-compressor#2917",
        inject=lambda: _saved_after_a_call(truncation=True, max_length=4),
        caught_by=("template/the_tokenizer_is_what_its_file_says", "template/saving_and_loading_keeps_the_tokenizer"),
        twin=lambda: _saved_after_a_call(return_offsets_mapping=True),
    ),
    Fault(
        id="template-33",
        name="The chat template is not among the files that the model is served from",
        source="hiyouga/LlamaFactory#7785",
        inject=lambda: _loaded_without("chat_template.jinja"),
        caught_by=("template/the_template_is_the_recorded_one",),
        twin=lambda: _loaded_without("special_tokens_map.json"),
    ),
)
