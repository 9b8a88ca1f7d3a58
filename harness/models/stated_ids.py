"""Token ids as configs state them: one, several, or none, and now and then what is no id at all."""

from __future__ import annotations

from typing import Any


def id_set(stated: Any) -> frozenset[int]:
    """The ids among what is stated; whatever else stands there is passed over, and told of by ``no_ids``."""
    return frozenset(entry for entry in _entries(stated) if _is_id(entry))


def no_ids(stated: Any) -> tuple[Any, ...]:
    """What is stated in place of an id, in its order: a null in a list, a token's text, a list in a list, a truth."""
    return tuple(entry for entry in _entries(stated) if not _is_id(entry))


def stop_ids_of(generation_config: Any, tokenizer: Any) -> frozenset[int]:
    """Return the ids that end a generation as the checkpoint's own generation config says, else the tokenizer's EOS."""
    stated = getattr(generation_config, "eos_token_id", None)
    return id_set(tokenizer.eos_token_id if stated is None else stated)


def _entries(stated: Any) -> list[Any]:
    """Arrays and tensors count as what they hold."""
    if hasattr(stated, "tolist"):
        stated = stated.tolist()
    if stated is None:
        return []
    if isinstance(stated, list | tuple | set | frozenset):
        return [entry.tolist() if hasattr(entry, "tolist") else entry for entry in stated]
    return [stated]


def _is_id(entry: Any) -> bool:
    return isinstance(entry, int) and not isinstance(entry, bool)
