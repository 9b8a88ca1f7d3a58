"""From text to the token ids that are scored, split where lm-eval splits them, so that numbers agree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

Scores = list[tuple[float, bool]]
"""Of each scored token its natural-log probability, and whether it was the most likely one."""


@dataclass(frozen=True)
class Scored:
    """Token ids to run through the model: the last ``targets`` of them are scored, the rest is context."""

    ids: tuple[int, ...]
    targets: int


def encode(tokenizer: Any, text: str) -> list[int]:
    """Encode plain text with the tokenizer's own special tokens, but never a second BOS where the text brings one."""
    (ids,) = encode_all(tokenizer, [text])
    return ids


def encode_all(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """``encode`` of each text, in two calls at most: many texts at once cost a fraction of one after the other."""
    prefix = tokenizer.decode([prefix_id(tokenizer)])
    bring_their_own = [bool(prefix) and text.startswith(prefix) for text in texts]
    ids: dict[str, list[int]] = {}
    for own in set(bring_their_own):
        chosen = list(dict.fromkeys(text for text, brings in zip(texts, bring_their_own, strict=True) if brings is own))
        ids |= zip(chosen, tokenizer(chosen, add_special_tokens=not own)["input_ids"], strict=True)
    return [ids[text] for text in texts]


def prefix_id(tokenizer: Any) -> int:
    """Return the id that stands before a text without context: BOS, or EOS where there is no BOS."""
    bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
    return int(bos if bos is not None else eos)


def split_pair(tokenizer: Any, context: str, continuation: str, max_length: int) -> Scored:
    """``split_pairs`` of a single pair."""
    (row,) = split_pairs(tokenizer, [(context, continuation)], max_length)
    return row


def split_pairs(tokenizer: Any, pairs: Sequence[tuple[str, str]], max_length: int) -> list[Scored]:
    """Encode each context and continuation together and score the continuation's tokens.

    As lm-eval's ``_encode_pair``: trailing spaces of the context belong to the continuation; the boundary is where the
    context alone would end. A pair longer than ``max_length + 1`` loses tokens on the left.
    """
    bare = [context.rstrip() for context, _ in pairs]
    whole = encode_all(tokenizer, [context + continuation for context, continuation in pairs])
    border = dict(zip(bare, map(len, encode_all(tokenizer, bare)), strict=True))
    rows = []
    for place, (context, ids) in enumerate(zip(bare, whole, strict=True)):
        targets = len(ids) - border[context]
        if not context:
            ids, targets = _after_nothing(tokenizer, "".join(pairs[place]))
        rows.append(Scored(tuple(ids[-(max_length + 1) :]), min(targets, max_length)))
    return rows


def _after_nothing(tokenizer: Any, text: str) -> tuple[list[int], int]:
    """A text without context, behind the prefix token; all its tokens are scored."""
    ids = list(tokenizer.encode(text, add_special_tokens=False))
    prefix = prefix_id(tokenizer)
    return ([prefix, *ids], len(ids)) if ids[:1] != [prefix] else (ids, len(ids) - 1)


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
