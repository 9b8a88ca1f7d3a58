"""Control strings are single tokens: those that are special, that the template writes, and that end a turn."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unicodedata import normalize

from harness.chat.control import (
    MARKER,
    control_ids,
    control_ids_in,
    first_difference,
    name_token,
    plain_ids,
    token_text,
)
from harness.chat.frame import ONE_TURN, SEVERAL_TURNS, frame
from harness.chat.probe import ChatProbe
from harness.records import Finding

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def control_strings_are_atomic(tokenizer: PreTrainedTokenizerBase, habits: ChatProbe) -> list[Finding]:
    """Every special token, and every marker that the template writes, is one id of its own."""
    return [
        *_special_tokens_are_atomic(tokenizer),
        *_turn_ends_by_a_control_token(tokenizer, habits),
        *_markers_are_atomic(tokenizer, habits),
        *_neighbours_change_no_control_token(tokenizer, habits),
    ]


def _special_tokens_are_atomic(tokenizer: PreTrainedTokenizerBase) -> list[Finding]:
    findings = []
    for text, token_id in zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True):
        ids = plain_ids(tokenizer, str(text))
        if ids != [token_id]:
            findings.append(
                Finding(
                    f"the special token {str(text)!r} is not one token",
                    "tokenizer.all_special_tokens",
                    f"one id, {token_id}",
                    f"{len(ids)} ids, {ids[:8]}",
                    "set split_special_tokens to false in tokenizer_config.json"
                    if getattr(tokenizer, "split_special_tokens", False)
                    else "add it to the vocabulary with tokenizer.add_special_tokens, or load the tokenizer files of "
                    "the base model again",
                )
            )
    return findings


def _turn_ends_by_a_control_token(tokenizer: PreTrainedTokenizerBase, habits: ChatProbe) -> list[Finding]:
    if habits.terminator_id is not None:
        return []
    shown = frame(tokenizer, ONE_TURN, parts=habits.parts)
    written = shown.literals[-1] if shown else ""
    pieces = [token_text(tokenizer, i) for i in plain_ids(tokenizer, written)]
    return [
        Finding(
            "no control token ends an assistant turn, so the model can never learn to stop",
            f"the text {written!r} that the template writes after an answer",
            "a control token of the vocabulary, such as the eos token",
            f"{len(pieces)} ordinary tokens {pieces[:8]}",
            "add the template's end-of-turn string to the tokenizer as a special token, "
            "or let the template end answers with {{ eos_token }}",
        )
    ]


def _markers_are_atomic(tokenizer: PreTrainedTokenizerBase, habits: ChatProbe) -> list[Finding]:
    """A marker in bars is one token; only where it is no more than a role's name does it read as text as well."""
    controls = control_ids(tokenizer)
    findings = []
    for marker in sorted(_markers(tokenizer, habits)):
        ids = plain_ids(tokenizer, marker)
        names_a_role = marker[2:-2].lower() in {"system", "user", "assistant", "tool"}
        meant = next((token for token in sorted(map(str, tokenizer.get_added_vocab())) if _alike(token, marker)), "")
        if (names_a_role and not meant) or (len(ids) == 1 and ids[0] in controls):
            continue
        findings.append(
            Finding(
                f"the template writes {marker!r}, which is not one token",
                "the text that the template puts around messages",
                "one id of the added vocabulary",
                f"{len(ids)} ids {[token_text(tokenizer, i) for i in ids][:8]}",
                f"write {meant!r}, the token of the vocabulary that looks like it, in tokenizer.chat_template"
                if meant
                else f"add {marker!r} to the tokenizer as a special token and resize the embeddings, "
                "or use the template that belongs to this tokenizer",
            )
        )
    return findings


def _alike(token: str, marker: str) -> bool:
    """Whether two texts differ only in the kind of their characters, such as bars of full width."""
    return token != marker and normalize("NFKC", token) == normalize("NFKC", marker)


def _neighbours_change_no_control_token(tokenizer: PreTrainedTokenizerBase, habits: ChatProbe) -> list[Finding]:
    """The control tokens of a conversation are those of what the template writes, whatever text they touch."""
    for roles in (ONE_TURN, SEVERAL_TURNS):
        shown = frame(tokenizer, roles, parts=habits.parts)
        if shown is None:
            continue
        alone = [i for literal in shown.literals for i in control_ids_in(tokenizer, literal)]
        whole = control_ids_in(tokenizer, shown.text)
        at = first_difference(whole, alone)
        if at == len(alone) == len(whole):
            continue
        changed = (alone[at:] or whole[at:])[0]
        return [
            Finding(
                f"the control token {name_token(tokenizer, changed)} depends on the text beside it",
                f"control token {at} of a conversation of {', '.join(roles)}",
                f"the {len(alone)} control tokens of what the template writes, each recognised alone",
                f"{len(whole)} control tokens in {shown.text[:120]!r}",
                "add it as a special token, with normalized=False and single_word=False: "
                "tokenizer.add_tokens([AddedToken(..., special=True, normalized=False)], special_tokens=True)",
            )
        ]
    return []


def _markers(tokenizer: PreTrainedTokenizerBase, habits: ChatProbe) -> set[str]:
    found: set[str] = set()
    for roles in (ONE_TURN, SEVERAL_TURNS, ("system", *ONE_TURN)):
        shown = frame(tokenizer, roles, parts=habits.parts)
        if shown is not None:
            found.update(marker for literal in shown.literals for marker in MARKER.findall(literal))
    return found | set(MARKER.findall(habits.generation_prompt))
