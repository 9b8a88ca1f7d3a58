"""From text to the token ids that are scored, split where lm-eval splits them, so that numbers agree."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Scored:
    """Token ids to run through the model: the last ``targets`` of them are scored, the rest is context."""

    ids: tuple[int, ...]
    targets: int


def encode(tokenizer: Any, text: str) -> list[int]:
    """Encode plain text with the tokenizer's own special tokens, but never a second BOS where the text brings one."""
    prefix = tokenizer.decode([prefix_id(tokenizer)])
    if prefix and text.startswith(prefix):
        return list(tokenizer.encode(text, add_special_tokens=False))
    return list(tokenizer.encode(text))


def prefix_id(tokenizer: Any) -> int:
    """Return the id that stands before a text without context: BOS, or EOS where there is no BOS."""
    bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
    return int(bos if bos is not None else eos)


def split_pair(tokenizer: Any, context: str, continuation: str, max_length: int) -> Scored:
    """Encode context and continuation together and score the continuation's tokens.

    As lm-eval's ``_encode_pair``: trailing spaces of the context belong to the continuation; the boundary is where the
    context alone would end. A pair longer than ``max_length + 1`` loses tokens on the left.
    """
    bare = context.rstrip()
    continuation, context = context[len(bare) :] + continuation, bare
    if not context:
        ids = list(tokenizer.encode(continuation, add_special_tokens=False))
        prefix = prefix_id(tokenizer)
        ids, targets = ([prefix, *ids], len(ids)) if ids[:1] != [prefix] else (ids, len(ids) - 1)
    else:
        ids = encode(tokenizer, context + continuation)
        targets = len(ids) - len(encode(tokenizer, context))
    return Scored(tuple(ids[-(max_length + 1) :]), min(targets, max_length))


def rolling_windows(tokenizer: Any, text: str, max_length: int) -> Iterator[Scored]:
    """Cut a text into windows in which every token is scored exactly once.

    As lm-eval's ``get_rolling_token_windows`` with a context of one token: the first window starts from the prefix
    token, the last one looks back as far as ``max_length`` allows.
    """
    ids = encode(tokenizer, text)
    if not ids:
        return
    first = min(max_length, len(ids))
    yield Scored((prefix_id(tokenizer), *ids[:first]), first)
    done = first
    while done < len(ids):
        step = min(len(ids) - done, max_length)
        end = done + step
        yield Scored(tuple(ids[max(0, end - max_length - 1) : end]), step)
        done = end
