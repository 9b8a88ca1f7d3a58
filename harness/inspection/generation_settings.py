"""How answers are made, as the generation config states it, against what earlier records of the same model state."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from harness.chat.control import name_token
from harness.inspection.checkpoint import Checkpoint
from harness.models.stated_ids import id_set
from harness.records import Finding

GENERATION = "generation"
"""The key of a record under which ``generation_settings`` are kept."""

WITHOUT_EFFECT = ("_", "output_", "return_", "use_cache", "cache_", "max_cache_len", "transformers_version")
"""Beginnings of keys that change how an answer is computed or handed over, and never which answer it is."""

COMPUTED_ALIKE = frozenset(
    {
        "assistant_confidence_threshold",
        "assistant_early_exit",
        "assistant_lookbehind",
        "bos_token_id",
        "compile_config",
        "continuous_batching_config",
        "disable_compile",
        "is_assistant",
        "low_memory",
        "max_matching_ngram_size",
        "num_assistant_tokens",
        "num_assistant_tokens_schedule",
        "pad_token_id",
        "prefill_chunk_size",
        "prompt_lookup_num_tokens",
        "speculation_type",
        "target_lookbehind",
        "use_mtp",
    }
)
"""Speculation, compilation and the ids that only fill up: the answer is the same with another value."""

AS_IF_UNSET = {"do_sample": False, "num_beams": 1, "temperature": 1.0, "top_p": 1.0, "repetition_penalty": 1.0}
AS_IF_UNSET |= {"min_length": 0, "length_penalty": 1.0, "num_return_sequences": 1, "no_repeat_ngram_size": 0}
AS_IF_UNSET |= {"early_stopping": False, "num_beam_groups": 1, "diversity_penalty": 0.0, "typical_p": 1.0}
AS_IF_UNSET |= {"max_length": 20, "top_k": 50, "encoder_repetition_penalty": 1.0, "epsilon_cutoff": 0.0}
AS_IF_UNSET |= {"eta_cutoff": 0.0, "renormalize_logits": False, "remove_invalid_values": False, "token_healing": False}
"""What ``generate`` does without a word: some versions write these values into the file and others leave them out."""


def generation_settings(config: Any) -> dict[str, Any]:
    """Every setting of a generation config that decides what is answered and where it ends, as JSON has it.

    Stop ids are a sorted list. What says no more than an absent key is left out.
    """
    stated = {} if config is None else config.to_dict()
    kept = {
        key: _as_json(value)
        for key, value in stated.items()
        if value is not None and key not in COMPUTED_ALIKE and not key.startswith(WITHOUT_EFFECT)
    }
    kept = {key: value for key, value in kept.items() if value != AS_IF_UNSET.get(key) and value != []}
    if "eos_token_id" in kept:
        kept["eos_token_id"] = sorted(id_set(kept["eos_token_id"]))
    return kept


def _as_json(value: Any) -> Any:
    """The value as it comes back from a file; a dict from tuples of ids (``sequence_bias``) as a list of pairs."""
    if isinstance(value, dict) and any(isinstance(key, tuple) for key in value):
        value = sorted([list(ids), number] for ids, number in value.items())
    return json.loads(json.dumps(value, default=str))


def settings_are_the_recorded_ones(saved: Checkpoint) -> list[Finding]:
    """No stop id of a record is lost, and every other setting has the recorded value."""
    if saved.generation_config is None:
        return []
    now = generation_settings(saved.generation_config)
    return [
        finding
        for label, record in saved.recorded.items()
        if isinstance(record.get(GENERATION), Mapping)
        for finding in _differences(saved, now, record[GENERATION], label)
    ]


def _differences(
    saved: Checkpoint, now: Mapping[str, Any], recorded: Mapping[str, Any], label: str
) -> Iterator[Finding]:
    stops = id_set(now.get("eos_token_id"))
    lost = id_set(recorded.get("eos_token_id")) - stops
    if lost:
        yield Finding(
            "generation no longer stops on a token that it used to stop on",
            f"generation_config.eos_token_id, against {label}",
            f"to hold {', '.join(name_token(saved.tokenizer, i) for i in sorted(lost))}",
            ", ".join(name_token(saved.tokenizer, i) for i in sorted(stops)) or "no stop id at all",
            f"set model.generation_config.eos_token_id to {sorted(lost | stops)} and save it; "
            "exporters that copy tokenizer.eos_token_id keep one id of several",
        )
    for key in sorted((now.keys() | recorded.keys()) - {"eos_token_id"}):
        if now.get(key) != recorded.get(key):
            yield Finding(
                "a generation setting is not the recorded one, so answers change without any training",
                f"generation_config.{key}, against {label}",
                f"{recorded[key]!r}" if key in recorded else "not set",
                f"{now[key]!r}" if key in now else "not set",
                f"put {key} back in generation_config.json; where the change is meant, record the baseline again with "
                "--baseline-update",
            )
