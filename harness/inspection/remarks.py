"""What is legitimate in a training set, but worth knowing before it is trained on."""

from __future__ import annotations

from collections.abc import Iterator

from harness.chat.control import token_text
from harness.chat.probe import leading_bos
from harness.inspection.mask import DECLARED, ends_are_learned
from harness.inspection.matching import Inspection
from harness.records import Message

LOOKED_AT = 200
"""Documents whose text is compared with what was written: enough to say that a template rewrites contents."""


def notes(seen: Inspection) -> tuple[str, ...]:
    """How rows are supervised, how many were cut, how turns end, and what of the rows the template does not write."""
    said = [f"supervised: {DECLARED[seen.policy]}"]
    if seen.policy == "whole row" and not seen.plain:
        said.append("prompts are learned too; completion_only_loss or assistant_only_loss would leave them out")
    return (*said, *_of_rows(seen), *_of_the_template(seen))


def _of_rows(seen: Inspection) -> Iterator[str]:
    cut = sum(match.likeness == "cut" for match in seen.matches)
    if cut:
        limit = f"max_length {seen.max_length}" if seen.max_length else "a length limit"
        yield f"{cut} of {len(seen.matches)} inspected rows are cut at {limit}"
    if seen.plain and not seen.sources:
        yield (
            "no row is in the tokenizer's chat format, so masks were not checked; a model that is then prompted by "
            "apply_chat_template meets a format that it was never trained on"
        )
    changed = _unwritten(seen)
    if changed:
        yield (
            f"the template does not write {changed} of the assistant's messages as they are (reasoning that is left "
            "out, white space that is trimmed)"
        )


def _of_the_template(seen: Inspection) -> Iterator[str]:
    if seen.plain:
        return
    if not seen.habits.ends_last_turn and not ends_are_learned(seen):
        yield "the template ends a turn only by the next one's marker, and no row supervises that marker"
    bos = seen.tokenizer.bos_token_id
    if not seen.habits.bos_run and leading_bos(list(seen.tokenizer("a")["input_ids"]), bos):
        yield (
            f"the tokenizer puts {seen.tokenizer.bos_token!r} before plain text and the chat template does not: a base "
            "model that expects it is trained without"
        )


def _unwritten(seen: Inspection) -> int:
    """How many messages of the assistant, of the first documents, have text that is not in their row."""
    count = 0
    for match in seen.matches[:LOOKED_AT]:
        source = seen.conversation_of(match)
        if source is not None and match.likeness == "whole":
            text = token_text(seen.tokenizer, match.segment.ids)
            said = (message for message in source.messages if message["role"] == "assistant")
            count += sum(not all(part in text for part in _texts(message)) for message in said)
    return count


def _texts(message: Message) -> Iterator[str]:
    for key in ("content", "reasoning_content", "thinking"):
        if isinstance(message.get(key), str):
            yield message[key]
