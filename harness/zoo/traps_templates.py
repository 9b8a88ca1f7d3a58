"""Templates and tokenizers that are legitimate, each in a way that a rule of thumb would flag."""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tokenizers import normalizers
from transformers import AutoTokenizer, GenerationConfig

from harness.inspection.stand_in import stand_in_trainer
from harness.zoo.exhibit import Setup, Trap
from harness.zoo.parts import CHATML, ROWS, WITH_BOS, checkpoint_of, tokenizer_with

BY_ROLES = (
    "{% for m in messages %}{{ '<|' + m['role'] + '|>' + m['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
MERGES_SYSTEM = (
    "{% if messages[0]['role'] == 'system' %}{% set system = messages[0]['content'] + '\n\n' %}"
    "{% set messages = messages[1:] %}{% else %}{% set system = '' %}{% endif %}"
    "{% for m in messages %}{% if m['role'] == 'user' %}"
    "{{ '<|im_start|>user\n' + (system if loop.first else '') + m['content'] + '<|im_end|>\n' }}"
    "{% else %}{{ '<|im_start|>assistant\n' + m['content'] + '<|im_end|>\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
ALTERNATES = (
    "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate user/assistant') }}{% endif %}"
    "{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
FORGETS_THOUGHTS = (
    "{% for m in messages %}{% set said = m['content'] %}"
    "{% if m['role'] == 'assistant' and not loop.last and '</think>' in said %}"
    "{% set said = said.split('</think>')[-1].lstrip('\n') %}{% endif %}"
    "{{ '<|im_start|>' + m['role'] + '\n' + said + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TRIMS = CHATML.replace("m['content']", "m['content'] | trim")
SETS_THE_SCENE = (
    "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou help. Today is ' + strftime_now('%d %b %Y') "
    "+ '<|im_end|>\n' }}{% endif %}" + CHATML
)
WITHOUT_TOOLS = (
    "{% for m in messages %}{% if m['role'] == 'tool' %}{{ raise_exception('no tools') }}{% endif %}{% endfor %}"
    + CHATML
)
OF_PARTS = CHATML.replace("m['content']", "m['content'][0]['text']")

THINKING: list[dict[str, Any]] = [
    {
        "messages": [
            {"role": "user", "content": "What opens at noon?"},
            {"role": "assistant", "content": "<think>\nIt is the gate.\n</think>\n\nThe gate."},
            {"role": "user", "content": "And who crosses?"},
            {"role": "assistant", "content": "<think>\nThat was a fox.\n</think>\n\nA fox."},
        ]
    }
]
ALTERNATING = [row for row in ROWS if row["messages"][0]["role"] == "user"]


def _whole(template: str, rows: Sequence[Any] = ROWS, **kind: Any) -> Setup:
    """A tokenizer with this template, what is saved of it, and a trainer on these rows."""
    tokenizer = tokenizer_with(template, **kind)
    trainer = stand_in_trainer(tokenizer, rows)
    return Setup(tokenizer=tokenizer, checkpoint=checkpoint_of(tokenizer), trainer=trainer, rows=rows)


def _stopping_at(stops: Sequence[str]) -> Setup:
    tokenizer = tokenizer_with(CHATML, special=("<|im_start|>", "<|im_end|>", "<|eom|>"))
    ids = [tokenizer.convert_tokens_to_ids(token) for token in stops]
    stated = GenerationConfig(eos_token_id=ids)
    return Setup(checkpoint=checkpoint_of(tokenizer, generation_config=stated, stop_ids=frozenset(ids)))


def _without_bos() -> Setup:
    tokenizer = tokenizer_with(CHATML)
    tokenizer.bos_token = None
    trainer = stand_in_trainer(tokenizer, ROWS)
    return Setup(tokenizer=tokenizer, checkpoint=checkpoint_of(tokenizer), trainer=trainer, rows=ROWS)


def _loaded_with_a_warning() -> Setup:
    """A tokenizer beside the config of another family, of a version whose files are warned of when they are loaded."""
    folder = Path(tempfile.mkdtemp(prefix="pytest-sft-zoo-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    tokenizer_with(CHATML).save_pretrained(folder)
    config = {"model_type": "mistral", "transformers_version": "4.51.0", "vocab_size": 400}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return Setup(tokenizer=tokenizer, checkpoint=checkpoint_of(tokenizer, folder=folder))


def _normalised() -> Setup:
    """A tokenizer that composes characters and takes the wide forms of letters for the usual ones."""
    tokenizer = tokenizer_with(CHATML)
    tokenizer.backend_tokenizer.normalizer = normalizers.NFKC()
    return Setup(checkpoint=checkpoint_of(tokenizer))


TRAPS = (
    Trap("ok-02", "The tokenizer's eos is not what ends a turn", partial(_whole, CHATML)),
    Trap("ok-03", "Generation stops at several tokens", partial(_stopping_at, ["<|end|>", "<|im_end|>", "<|eom|>"])),
    Trap(
        "ok-05",
        "Nothing stands behind the last turn: the next role's marker ends one",
        partial(_whole, BY_ROLES, special=("<|system|>", "<|user|>", "<|assistant|>")),
    ),
    Trap("ok-07", "The system message is merged into the user's first one", partial(_whole, MERGES_SYSTEM)),
    Trap(
        "ok-08",
        "Thoughts of earlier turns are left out, so a row does not begin as its parts do",
        partial(_whole, FORGETS_THOUGHTS, THINKING),
    ),
    Trap("ok-09", "Roles must alternate, and a system message is refused", partial(_whole, ALTERNATES, ALTERNATING)),
    Trap("ok-10", "The template trims contents", partial(_whole, TRIMS)),
    Trap("ok-11", "There is no BOS token at all", _without_bos),
    Trap("ok-12", "Both template and tokenizer can write BOS", partial(_whole, WITH_BOS, adds_bos=True)),
    Trap("ok-13", "The template writes a system text and the date by itself", partial(_whole, SETS_THE_SCENE)),
    Trap("ok-14", "Loading warns of a regular expression that makes no difference here", _loaded_with_a_warning),
    Trap("ok-15", "Decoding does not give back the text that a normaliser changed", _normalised),
    Trap("ok-17", "The template has no generation markers, and none are needed", partial(_whole, CHATML, ALTERNATING)),
    Trap("ok-20", "The template refuses tool messages", partial(_whole, WITHOUT_TOOLS)),
    Trap("ok-21", "The template takes contents in parts only", lambda: Setup(tokenizer=tokenizer_with(OF_PARTS))),
)
