"""What the rows bring with them: contents that pose as structure, empty answers, and settings nobody reads."""

from __future__ import annotations

import difflib
import inspect
from collections import Counter
from collections.abc import Collection
from typing import TYPE_CHECKING

from harness.chat.control import control_ids, name_token
from harness.chat.conversation import Conversation, PlainText
from harness.chat.switches import template_variables
from harness.inspection.mask import wanted_turns
from harness.inspection.matching import Inspection, place
from harness.inspection.origins import Match
from harness.records import Finding

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def contents_write_no_control_tokens(seen: Inspection) -> list[Finding]:
    """What somebody says is no structure: no content holds a token by which the template tells turns apart.

    Tags in pairs, such as ``<think>`` and ``</think>``, are part of what a model says.
    """
    structure = _structural(seen)
    findings = []
    for match in (match for match in seen.matches if match.likeness in ("whole", "cut")):
        ids = match.segment.ids
        for message, start, end in match.spans.contents:
            held = [i for i in range(max(0, start), min(end, len(ids))) if ids[i] in structure]
            if held:
                findings.append(_injected(seen, match, message, held))
                break
    return findings


def _structural(seen: Inspection) -> set[int]:
    """The control tokens that templates write outside of contents, and those that begin and end texts."""
    tokenizer, habits = seen.tokenizer, seen.habits
    ends = {tokenizer.bos_token_id, tokenizer.eos_token_id, habits.terminator_id, *habits.closing_ids} - {None}
    controls = control_ids(tokenizer) - _paired(tokenizer)
    written: set[int] = set()
    for match in seen.matches:
        inside = {i for _, start, end in match.spans.contents for i in range(max(0, start), end)}
        written |= {token for i, token in enumerate(match.segment.ids) if i not in inside and token in controls}
    return written | {token for token in ends if token is not None}


def _paired(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    added = tokenizer.get_added_vocab()
    closing = {text: f"</{text[1:]}" for text in added if text.startswith("<") and not text.startswith("</")}
    return {added[text] for opened, closed in closing.items() if closed in added for text in (opened, closed)}


def _injected(seen: Inspection, match: Match, message: int, held: list[int]) -> Finding:
    source = seen.conversation_of(match)
    role = source.messages[message]["role"] if source is not None else "unknown"
    return Finding(
        "the content of a message is read as the structure of the conversation",
        f"{place(match, held[0])}, in message {message} ({role})",
        "control tokens around contents only, as the template writes them",
        f"{name_token(seen.tokenizer, match.segment.ids[held[0]])} inside the content, {len(held)} such tokens",
        "take control strings out of the text (or encode it with split_special_tokens=True); an answer needs no "
        "terminator of its own, the template writes one",
    )


def no_answer_is_empty(seen: Inspection) -> list[Finding]:
    """Every answer that is learned says something: an empty one teaches to stop at once."""
    learned = ((match, turn) for match in seen.matches for turn in wanted_turns(match, seen))
    empty = [(match, turn.start) for match, turn in learned if _says_nothing(seen, match, turn.message)]
    if not empty:
        return []
    match, token = empty[0]
    return [
        Finding(
            "an answer is empty, so the model learns to stop before it has said anything",
            place(match, token),
            "some text, or tool calls, in every assistant message",
            f"nothing, in {len(empty)} of {len(seen.matches)} inspected rows",
            "fill in these answers or take the rows out",
        )
    ]


def _says_nothing(seen: Inspection, match: Match, message: int) -> bool:
    source = seen.source_of(match)
    if source is None:
        return False
    if isinstance(source, PlainText):
        return not source.completion.strip()
    said = (value for key, value in source.messages[message].items() if key != "role")
    return not any(value.strip() if isinstance(value, str) else value for value in said)


def template_options_are_known(seen: Inspection) -> list[Finding]:
    """Every variable that rows or inference hand to the template is one that it reads: a typo is ignored in silence."""
    read = template_variables(seen.tokenizer) | template_variables(seen.serving)
    known = read | _arguments(seen.tokenizer)
    by_rows = Counter(name for source in seen.sources if isinstance(source, Conversation) for name in source.options)
    given = {name: f"chat_template_kwargs of {count} rows" for name, count in by_rows.items()}
    given |= dict.fromkeys(seen.serving_options or {}, "the variables of inference (--serving)")
    return [
        Finding(
            "the chat template does not know a variable that it is given",
            f"{where}, {name!r}",
            f"one of {', '.join(sorted(read)) or 'none, since the template reads no variable'}",
            _nearest(name, known),
            "correct the name, or leave it out: the template ignores what it does not know",
        )
        for name, where in given.items()
        if name not in known
    ]


def _arguments(tokenizer: PreTrainedTokenizerBase) -> set[str]:
    return set(inspect.signature(tokenizer.apply_chat_template).parameters)


def _nearest(name: str, known: Collection[str]) -> str:
    nearest = difflib.get_close_matches(name, known, n=1)
    return f"{name!r}, perhaps meant to be {nearest[0]!r}" if nearest else f"{name!r}"
