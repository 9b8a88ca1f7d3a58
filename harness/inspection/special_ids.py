"""The ids of bos, eos and pad, which tokenizer, config.json and generation_config.json each state for themselves.

They may differ: a config keeps the base's eos beside a generation config with the chat's, some models have no BOS, pad
may be eos. What must not be is an id that no token has, one that was erased, or a stop id that nobody generates by.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from harness.chat.control import name_token
from harness.inspection.checkpoint import Checkpoint
from harness.models.stated_ids import id_set, no_ids
from harness.records import Finding

SPECIAL_IDS = "special_ids"
"""The key of a record under which ``special_ids`` are kept."""

NAMES = ("bos_token_id", "eos_token_id", "pad_token_id")
USED = ("eos_token_id", "pad_token_id")
"""Those that ``generate`` puts into a conversation by itself; its BOS comes from the tokenizer."""

FILES = {"config": "config.json", "generation_config": "generation_config.json"}


def special_ids(saved: Checkpoint) -> dict[str, list[int]]:
    """What each file states, by ``file.name``; only what is set. A config that is not known states nothing."""
    found = {}
    for place, holder in (("tokenizer", saved.tokenizer), *_configs(saved)):
        for name in NAMES:
            stated = id_set(getattr(holder, name, None))
            if stated:
                found[f"{place}.{name}"] = sorted(stated)
    return found


def special_ids_agree(saved: Checkpoint) -> list[Finding]:
    """What ends and fills up answers is in the vocabulary, nothing was erased, and generation has an id to stop at."""
    return [
        *_no_ids(saved),
        *_outside_the_vocabulary(saved),
        *_nothing_to_stop_at(saved),
        *_erased(saved),
    ]


def _configs(saved: Checkpoint) -> list[tuple[str, Any]]:
    known = {"config": _text_config(saved.config), "generation_config": saved.generation_config}
    return [(place, config) for place, config in known.items() if config is not None]


def _text_config(config: Any) -> Any:
    return config.get_text_config() if hasattr(config, "get_text_config") else config


def _no_ids(saved: Checkpoint) -> Iterator[Finding]:
    """Something else stands where an id should: ``generate`` raises an error at it, or takes it for another id."""
    for place, config in _configs(saved):
        for name in NAMES:
            stated = getattr(config, name, None)
            for entry in no_ids(stated):
                yield Finding(
                    _what_is_no_id(name, entry),
                    f"{name} in {FILES[place]}",
                    "a whole number or a list of whole numbers",
                    json.dumps(stated, default=str)[:120],
                    _instead(saved, entry, f"model.{place}.{name}"),
                )


def _what_is_no_id(name: str, entry: Any) -> str:
    called = "a stop id" if name == "eos_token_id" else name
    if entry is None:
        return f"{called} is null: the token is not in the vocabulary"
    return f"{called} is not a number: {json.dumps(entry, default=str)[:40]}"


def _instead(saved: Checkpoint, entry: Any, where: str) -> str:
    if entry is None:
        return f"take null out of {where}; convert_tokens_to_ids returns it for a token that the tokenizer lacks"
    token_id = saved.tokenizer.get_vocab().get(entry) if isinstance(entry, str) else None
    if token_id is not None:
        return f"write the token's id, {token_id}, into {where}"
    return f"write ids into {where}, each as a number"


def _outside_the_vocabulary(saved: Checkpoint) -> Iterator[Finding]:
    """Ids beyond the embeddings; not those that the tokenizer itself gives, of which ``ids_fit_the_model`` tells."""
    rows = saved.vocab_rows or len(saved.tokenizer)
    own = {saved.habits.terminator_id, *(getattr(saved.tokenizer, name) for name in NAMES)}
    for place, config in _configs(saved):
        for name in USED:
            for token_id in sorted(id_set(getattr(config, name, None))):
                if 0 <= token_id < rows or token_id in own:
                    continue
                instead = getattr(saved.tokenizer, name)
                usable = instead is not None and instead < rows
                yield Finding(
                    f"{FILES[place]} names a token that does not exist",
                    f"{name} in {FILES[place]}",
                    f"an id from 0 to {rows - 1}" + (f", such as the tokenizer's {instead}" if usable else ""),
                    f"{token_id}",
                    f"set model.{place}.{name} = tokenizer.{name} and save the model again"
                    if usable
                    else f"take {token_id} out of model.{place}.{name} and save the model again",
                )


def _nothing_to_stop_at(saved: Checkpoint) -> Iterator[Finding]:
    """``generate`` stops by the generation config alone: without an eos id there every answer runs to its limit."""
    generation, eos = saved.generation_config, saved.tokenizer.eos_token_id
    stated_there = getattr(generation, "eos_token_id", None)
    if generation is None or id_set(stated_there) or no_ids(stated_there):
        return
    stated = id_set(getattr(_text_config(saved.config), "eos_token_id", None)) or id_set(eos)
    if stated:
        yield Finding(
            "the generation config has no stop id, though the model has an end token",
            "eos_token_id in generation_config.json",
            " and ".join(name_token(saved.tokenizer, i) for i in sorted(stated)),
            "null",
            f"set model.generation_config.eos_token_id = {sorted(stated)} and save the model again",
        )


def _erased(saved: Checkpoint) -> Iterator[Finding]:
    """Nothing that a record holds has become null; what changed to another id is judged by what it does."""
    now = special_ids(saved)
    known = {"tokenizer", *(place for place, _ in _configs(saved))}
    for label, record in saved.recorded.items():
        before = record.get(SPECIAL_IDS)
        for key, ids in sorted((before or {}).items()):
            place, _, name = key.partition(".")
            if place in known and key not in now:
                yield Finding(
                    "a special id was erased",
                    f"{name} in {FILES.get(place, 'tokenizer_config.json')}, against {label}",
                    ", ".join(str(i) for i in sorted(id_set(ids))),
                    "null",
                    f"set {'tokenizer' if place == 'tokenizer' else f'model.{place}'}.{name} again before saving; a "
                    "trainer that copies a tokenizer's missing token into the config erases it",
                )
