"""The files of a model: heads are tied as the config says, control tokens can be told apart, and nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import torch

from harness.chat.control import control_ids
from harness.findings import Note
from harness.handover.delivery import Delivery
from harness.handover.probes import probe_ids
from harness.models.bare import bare_model
from harness.models.fetch import gguf_types
from harness.models.files import ModelFiles
from harness.models.weight_files import Stored, mapped, read_rows, read_tensor, stored_tensors
from harness.records import Finding

SHOWN = 3


def tied_heads_agree_with_the_config(delivery: Delivery, note: Note) -> list[Finding]:
    """A config that ties head and embedding comes with one matrix for both; one that does not, with two."""
    if delivery.is_adapter:
        return []  # its base is not delivered
    names = _matrices(delivery.files)
    stored = stored_tensors(delivery.files.folder)
    if names is None or names[0] not in stored:
        note("the embedding of this architecture is not known by name in its file")
        return []
    embedding, head, tied = names
    if tied and head in stored and not _same(stored, embedding, head):
        return [
            Finding(
                "the config ties the head to the embedding, and the file holds two different matrices",
                f"config.json: tie_word_embeddings; {embedding} and {head}",
                "one matrix for both, or tie_word_embeddings=false",
                "two matrices that differ, of which many loaders drop the head",
                "save with tie_word_embeddings=false where the head was trained by itself",
            )
        ]
    return []


def control_tokens_can_be_told_apart(delivery: Delivery, note: Note) -> list[Finding]:
    """The rows of the embedding for the template's control tokens are numbers, not zero, and differ from each other."""
    if delivery.is_adapter:
        return []  # its base is not delivered
    names, stored = _matrices(delivery.files), stored_tensors(delivery.files.folder)
    if names is None or names[0] not in stored:
        note("the embedding of this architecture is not known by name in its file")
        return []
    tokenizer = delivery.files.tokenizer
    used = sorted(control_ids(tokenizer) & {token for ids in probe_ids(tokenizer) for token in ids})
    within = [token for token in used if token < stored[names[0]].shape[0]]
    if not within:
        return []
    rows = dict(zip(within, read_rows(stored[names[0]], names[0], within), strict=True))
    dead = [token for token, row in rows.items() if not bool(row.any())]
    twins = list(_twins(rows, dead))
    found = [f"{tokenizer.convert_ids_to_tokens(token)!r} is zero" for token in dead]
    found += [
        " and ".join(repr(tokenizer.convert_ids_to_tokens(token)) for token in pair) + " are one" for pair in twins
    ]
    if not found:
        return []
    return [
        Finding(
            "control tokens of the template cannot be told apart by the model",
            f"{names[0]}, {len(within)} control tokens",
            "a row of its own, other than zero, for each",
            "; ".join(found[:SHOWN]),
            "train the rows of tokens that were added (modules_to_save, trainable_token_indices), and save them",
        )
    ]


def files_are_complete(delivery: Delivery, note: Note) -> list[Finding]:  # noqa: ARG001
    """No shard, chat template or generation setting is missing that the index, the base or ``same_as`` has."""
    return [*_lost_shards(delivery.files.folder), *_lost_settings(delivery)]


def _lost_shards(folder: Path) -> Iterator[Finding]:
    for index in sorted(folder.glob("*.safetensors.index.json")):
        shards = set(mapped(index).values())
        lost = sorted(name for name in shards if not (folder / name).is_file())
        if lost:
            yield Finding(
                "parts of the weights are missing",
                str(index),
                f"{len(shards)} files",
                f"{len(lost)} are not there: {', '.join(lost[:SHOWN])}",
                "copy the whole folder, or save the model again",
            )


def _lost_settings(delivery: Delivery) -> Iterator[Finding]:
    mine, source = delivery.files, delivery.same_as or delivery.tuned_from
    home = source.home if source is not None else mine.base
    if home is None or mine.home == home:
        return
    lost = []
    if has_template(home) and not has_template(mine.home):
        lost.append(("its chat template", mine.home))
    if source is not None and mine.base is None and _has_settings(source) and not _has_settings(mine):
        lost.append(("generation_config.json", mine.folder))
    for name, place in lost:
        yield Finding(
            f"the delivered model has lost {name}",
            mine.name if gguf_types(mine.folder) else str(place),
            f"what {source.name if source is not None else mine.base_name} has",
            "no such file or setting, so that whoever loads it falls back on one of their own",
            "save tokenizer and generation config beside the weights: tokenizer.save_pretrained(), "
            "generation_config.save_pretrained(); a GGUF file carries the template as tokenizer.chat_template",
        )


def _has_settings(files: ModelFiles) -> bool:
    return ((files.base or files.folder) / "generation_config.json").is_file()


def has_template(home: Path) -> bool:
    """Whether a tokenizer's files hold a chat template, in either of the places where it may stand."""
    if any(home.glob("chat_template*")) or any(home.glob("additional_chat_templates/*")):
        return True
    config = home / "tokenizer_config.json"
    return config.is_file() and bool(json.loads(config.read_text(encoding="utf-8")).get("chat_template"))


def _matrices(files: ModelFiles) -> tuple[str, str, bool] | None:
    """Names of embedding and head as the model saves them, and whether its config ties them; None if not to be told."""
    return _named_matrices(files.folder, (files.folder / "config.json").stat().st_mtime)


@lru_cache(maxsize=4)
def _named_matrices(folder: Path, changed: float) -> tuple[str, str, bool] | None:  # noqa: ARG001 - read again then
    try:
        whole = bare_model(folder)
    except (ValueError, OSError, KeyError, ImportError, AttributeError):
        return None  # an architecture with code of its own
    names = {id(module): name for name, module in whole.named_modules()}
    embedding, head = whole.get_input_embeddings(), whole.get_output_embeddings()
    if embedding is None or head is None:
        return None
    tied = bool(getattr(whole.config.get_text_config(), "tie_word_embeddings", False))
    return f"{names[id(embedding)]}.weight", f"{names[id(head)]}.weight", tied


def _same(stored: dict[str, Stored], left: str, right: str) -> bool:
    if stored[left].shape != stored[right].shape:
        return False
    return torch.equal(read_tensor(stored[left], left), read_tensor(stored[right], right))


def _twins(rows: dict[int, torch.Tensor], dead: list[int]) -> Iterator[tuple[int, int]]:
    known: dict[bytes, int] = {}
    for token, row in rows.items():
        if token in dead:
            continue
        content = row.float().numpy().tobytes()
        if content in known:
            yield known[content], token
        known.setdefault(content, token)
