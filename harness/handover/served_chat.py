"""The chat around the weights: whether a delivery writes, ends and stops conversations as its original does."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from harness.chat.control import name_token
from harness.chat.probe import probe
from harness.chat.record import CHAT, template_record, what_changed
from harness.chat.template import REFUSALS
from harness.errors import ModelError
from harness.findings import Note
from harness.handover.delivery import Delivery
from harness.handover.model_files import has_template
from harness.inspection.generation_settings import WITHOUT_EFFECT, generation_settings
from harness.models.fetch import gguf_types
from harness.models.files import ModelFiles
from harness.models.stated_ids import id_set
from harness.records import Finding

SHOWN = 4
STOPS = "eos_token_id"


def the_chat_is_that_of_the_original(delivery: Delivery, note: Note) -> list[Finding]:
    """Prompts, tools and turns are written as by ``same_as``, and generation stops where it stops, ends of turns first.

    A stop id that ends no answer may go, and sampling may be set otherwise: that is noted.
    """
    other = delivery.same_as
    if other is None:
        return []
    _note_other_settings(delivery.files, other, note)
    mine = delivery.files
    return [*_other_template(mine, other), *_lost_stops(mine, other, note), *_other_end(mine, other)]


def _other_template(mine: ModelFiles, other: ModelFiles) -> Iterator[Finding]:
    if not (has_template(mine.home) and has_template(other.home)):
        return
    before, now = (template_record(files.tokenizer) for files in (other, mine))
    if before and not now:
        yield Finding(
            "the delivered chat template writes no conversation",
            mine.name,
            f"conversations as {other.name} writes them",
            "an error, or nothing that a model could be asked",
            "deliver the chat template that the model was trained with",
        )
    change = what_changed(before.get(CHAT, {}), now.get(CHAT, {}))
    if not change:
        return
    habits = change.habits[:SHOWN]
    yield Finding(
        "the delivered chat template writes other conversations",
        f"{mine.name}, beside {other.name}" + (f"; {change.where}" if change.where else ""),
        "; ".join([change.was] * bool(change.was) + [f"{habit}: {was}" for habit, was, _ in habits]),
        "; ".join([change.now] * bool(change.now) + [f"{habit}: {now}" for habit, _, now in habits]),
        "deliver the chat template and the tokenizer that the model was trained with",
    )


def _lost_stops(mine: ModelFiles, other: ModelFiles, note: Note) -> Iterator[Finding]:
    lost = other.stop_ids - mine.stop_ids
    if not lost:
        return
    names = ", ".join(name_token(other.tokenizer, token) for token in sorted(lost))
    if gguf_types(mine.folder) or gguf_types(other.folder):
        note(
            f"{names} stops {other.name} and is no end-of-sequence token of the GGUF file, which keeps others elsewhere"
        )
    elif not lost & _ends(other):
        note(f"{names} stops {other.name} and not {mine.name}; no answer of its template ends so")
    else:
        now = ", ".join(name_token(mine.tokenizer, token) for token in sorted(mine.stop_ids))
        yield Finding(
            "generation no longer stops where the original stops",
            f"{mine.name}, beside {other.name}: {STOPS} of generation_config.json",
            f"{names} among the stop ids",
            now or "no stop id at all",
            f"set model.generation_config.{STOPS} to {sorted(lost | mine.stop_ids)} and save it beside the weights",
        )


def _ends(files: ModelFiles) -> frozenset[int]:
    """What the template ends an answer with; without a template, the end of a text."""
    try:
        return probe(files.tokenizer).closing_ids
    except (ModelError, *REFUSALS):
        return id_set(files.tokenizer.eos_token_id)


def _other_end(mine: ModelFiles, other: ModelFiles) -> Iterator[Finding]:
    """Servers stop at the tokenizer's eos beside the stop ids: it must be one at which the original ends something."""
    was, now = other.tokenizer.eos_token_id, mine.tokenizer.eos_token_id
    if was is None or now in {was, *other.stop_ids, *_ends(other)}:
        return
    yield Finding(
        "the delivered tokenizer ends texts with another token",
        f"{mine.name}, beside {other.name}: eos_token of its tokenizer",
        f"{name_token(other.tokenizer, was)}, or another token that ends an answer",
        "none" if now is None else name_token(mine.tokenizer, now),
        "deliver the tokenizer that the model was trained with (tokenizer.save_pretrained()), or set its eos_token; in "
        "a GGUF file it is tokenizer.ggml.eos_token_id",
    )


def _note_other_settings(mine: ModelFiles, other: ModelFiles, note: Note) -> None:
    before, now = generation_settings(other.generation_config), generation_settings(mine.generation_config)
    changed = [key for key in sorted(before.keys() | now.keys()) if key != STOPS and before.get(key) != now.get(key)]
    if changed:
        note(f"generation_config.json has another {', '.join(changed)} than that of {other.name}")
    if type(other.config) is type(mine.config):
        shape, was = _computed_with(mine.config), _computed_with(other.config)
        changed = [key for key in sorted(shape.keys() & was.keys()) if not _alike(shape[key], was[key])]
        if changed:
            note(f"config.json has another {', '.join(changed)} than that of {other.name}: long texts may show it")


def _alike(one: Any, other: Any) -> bool:
    """Whether two settings are the same; other formats keep numbers in 32 bits."""
    numbers = isinstance(one, float) and isinstance(other, float)
    return math.isclose(one, other, rel_tol=1e-6) if numbers else bool(one == other)


def _computed_with(config: Any) -> Mapping[str, Any]:
    """What a config may change in its model: not how it is stored, by whom, and which ids its generation uses."""
    said: dict[str, Any] = config.get_text_config().to_dict()
    aside = (*WITHOUT_EFFECT, "dtype", "architectures")
    return {key: value for key, value in said.items() if not key.startswith(aside) and not key.endswith("_token_id")}
