"""Which tokens of a row are the assistant's, from the messages and the template alone.

No training code is asked: a turn's content is put in place of by a sentinel, the row is rendered again, and where the
sentinel stands is where the content stands. So no text inside a message can be mistaken for a turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any

from harness.chat.control import first_difference, plain_ids, token_text
from harness.chat.conversation import Conversation, PlainText
from harness.chat.frame import message, sentinel
from harness.chat.probe import ChatProbe
from harness.chat.template import REFUSALS, render
from harness.chat.tokens import AT_ONCE, Tokens, tokens_of
from harness.chat.turns import RowSpans, Turn
from harness.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def row_text(tokenizer: PreTrainedTokenizerBase, row: Conversation | PlainText) -> str:
    """The row as trl tokenises it: as the template renders it, or as plain text with the eos token at its end.

    Raises:
        jinja2.TemplateError: the template refuses the conversation.

    """
    if isinstance(row, Conversation):
        return render(tokenizer, row.messages, **row.options)
    eos = tokenizer.eos_token or ""
    return row.prompt + row.completion + ("" if row.completion.endswith(eos) else eos)


def row_spans(
    tokenizer: PreTrainedTokenizerBase,
    row: Conversation | PlainText,
    habits: ChatProbe,
    tokens: Tokens | None = None,
) -> RowSpans:
    """Locate the assistant turns of a row; ``tokens`` are those of its ``row_text``, where they are at hand.

    Raises:
        ModelError: the tokenizer gives no offsets, or the template takes no text as content.
        jinja2.TemplateError: the template refuses the conversation.

    """
    if habits.parts and isinstance(row, Conversation):
        raise ModelError(
            "the chat template takes contents as lists of typed parts only (text and images); masks of such rows are "
            "not supported: check the text rows with the template of the text model"
        )
    if tokens is None:
        plain = isinstance(row, PlainText)
        (tokens,) = tokens_of(tokenizer, [row_text(tokenizer, row)], add_special_tokens=plain)
    if isinstance(row, PlainText):
        return _plain_spans(tokenizer, row, tokens)
    return _chat_spans(tokenizer, row, habits, tokens)


def _plain_spans(tokenizer: PreTrainedTokenizerBase, row: PlainText, tokens: Tokens) -> RowSpans:
    """A row without messages: one turn, the completion with the eos token that trl ends it with."""
    if not row.has_prompt:
        return RowSpans(tokens.ids, (), None)
    start = tokens.first_beyond(len(row.prompt))
    last = max((i for i, token in enumerate(tokens.ids) if token == tokenizer.eos_token_id), default=None)
    turn = Turn(0, start, start, len(tokens.ids) if last is None else last + 1, len(tokens.ids), last)
    return RowSpans(tokens.ids, (turn,), 0)


def _chat_spans(tokenizer: PreTrainedTokenizerBase, row: Conversation, habits: ChatProbe, tokens: Tokens) -> RowSpans:
    marks = next(generation_marks(tokenizer, [row])) if habits.generation_markers else []
    places = _locate(tokenizer, row, tokens.text)
    turns = []
    for k, said in enumerate(row.messages):
        if said["role"] == "assistant":
            after = next((place[0] for place in places[k + 1 :] if place is not None), len(tokens.text))
            turn = _turn(tokenizer, row, k, tokens, places[k], after, habits)
            if turn is not None:
                before = next((place[1] for place in reversed(places[:k]) if place is not None), 0)
                ceiling = tokens.first_beyond(after) if said.get("tool_calls") else turn.latest
                turns.append(_as_marked(turn, marks, tokens.first_from(before), ceiling))
    return RowSpans(
        tokens.ids,
        tuple(turns),
        row.completion_from,
        unlocated=tuple(k for k, place in enumerate(places) if place is None and _has_content(row.messages[k])),
        contents=tuple(
            (k, tokens.first_beyond(place[0]), tokens.first_from(place[1]))
            for k, place in enumerate(places)
            if place is not None
        ),
    )


def generation_marks(tokenizer: PreTrainedTokenizerBase, rows: Iterable[Conversation]) -> Iterator[list[int]]:
    """For every token of each row 1 or 0: whether it stands between the template's generation markers."""
    for options, group in groupby(rows, key=lambda row: row.options):
        while some := list(islice(group, AT_ONCE)):
            for row in some:
                render(tokenizer, row.messages, **options)  # bounded, as the next call is not
            encoded = tokenizer.apply_chat_template(
                [list(row.messages) for row in some], return_dict=True, return_assistant_tokens_mask=True, **options
            )
            yield from encoded["assistant_masks"]


def _as_marked(turn: Turn, marks: Sequence[int], floor: int, ceiling: int) -> Turn:
    """Where the template's markers take in the turn's header, or calls after its content, its author declared them."""
    earliest, latest = turn.earliest, turn.latest
    while marks and earliest > floor and marks[earliest - 1]:
        earliest -= 1
    while marks and latest < min(ceiling, len(marks)) and marks[latest]:
        latest += 1
    return replace(turn, earliest=earliest, latest=latest)


def _has_content(message: Mapping[str, Any]) -> bool:
    content = message.get("content")
    return bool(content.strip()) if isinstance(content, str) else bool(content)


def _locate(tokenizer: PreTrainedTokenizerBase, row: Conversation, text: str) -> list[tuple[int, int] | None]:
    """The characters of each message's content as rendered (perhaps stripped); None where it was not written."""
    return [
        _locate_content(tokenizer, row, k, text) if _is_text(said.get("content"), text) else None
        for k, said in enumerate(row.messages)
    ]


def _is_text(content: Any, written: str) -> bool:
    """Whether a content is text, or parts of text that the template reads and does not print with their brackets."""
    if not isinstance(content, list):
        return isinstance(content, str)
    return all(isinstance(part, Mapping) and "text" in part for part in content) and str(content) not in written


def _locate_content(tokenizer: PreTrainedTokenizerBase, row: Conversation, k: int, text: str) -> tuple[int, int] | None:
    role = row.messages[k]["role"]
    word = sentinel(k, role)
    in_parts = not isinstance(row.messages[k]["content"], str)
    marked = [*row.messages[:k], {**row.messages[k], **message(role, word, in_parts)}, *row.messages[k + 1 :]]
    try:
        rendered = render(tokenizer, marked, **row.options)
    except REFUSALS:
        return None
    before, found, after = rendered.partition(word)
    if not found:
        return None
    if text.startswith(before) and text.endswith(after) and len(before) + len(after) <= len(text):
        return len(before), len(text) - len(after)
    # The template looks into the content and writes something else around it (a thinking block of its own):
    # the content is then all that is not the same around both.
    start = first_difference(text, rendered)
    end = len(text) - first_difference(text[::-1], rendered[::-1])
    return (start, max(start, end)) if start < len(before) + len(word) else None


def _turn(
    tokenizer: PreTrainedTokenizerBase,
    row: Conversation,
    k: int,
    tokens: Tokens,
    place: tuple[int, int] | None,
    bound: int,
    habits: ChatProbe,
) -> Turn | None:
    header = _header_end(tokenizer, row, k, tokens.text)
    if place is None and header is None:
        return None
    content_start, content_end = place if place is not None else (header or 0, header or 0)
    earliest = tokens.first_beyond(min(header, content_start) if header is not None else content_start)
    # A prompt that opens a thinking block has given the model the content's first characters already.
    start = tokens.first_beyond(max(header or 0, content_start))
    end = max(start, tokens.first_from(content_end))
    limit = tokens.first_beyond(bound) if bound < len(tokens.text) else len(tokens.ids)
    terminator = _terminator(tokens, end, limit, habits)
    latest = end if terminator is None else terminator + 1
    if terminator is not None and not habits.ends_last_turn:
        # What ends the turn is the next role's marker: it belongs to the next turn as much as to this one.
        terminator = None
    elif terminator is not None:
        end = latest
    while latest < limit and (tokens.is_blank(latest) or tokens.ids[latest] in habits.closing_ids):
        latest += 1
    earliest = min(earliest, start)
    while earliest > 0 and tokens.is_blank(earliest - 1):
        earliest -= 1
    return Turn(k, earliest, start, end, latest, terminator)


def _header_end(tokenizer: PreTrainedTokenizerBase, row: Conversation, k: int, text: str) -> int | None:
    """The character at which the turn's header ends: as far as the prompt of inference and the row agree."""
    try:
        prompt = render(tokenizer, row.messages[:k], generation_prompt=True, **row.options)
        if text.startswith(prompt):
            return len(prompt)
        context = render(tokenizer, row.messages[:k], **row.options)
    except REFUSALS:
        return None
    shared = first_difference(prompt, text)
    return shared if shared >= first_difference(context, prompt) else None


def _terminator(tokens: Tokens, start: int, limit: int, habits: ChatProbe) -> int | None:
    """The index of the token that ends the turn: the first closing token, and further ones up to the terminator."""
    found = next((i for i in range(start, limit) if tokens.ids[i] in habits.closing_ids), None)
    if found is None:
        return None
    index = found
    while tokens.ids[index] != habits.terminator_id:
        index += 1
        if index >= limit or not (tokens.ids[index] in habits.closing_ids or tokens.is_blank(index)):
            return found
    return index


def spans_of_ids(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], habits: ChatProbe) -> RowSpans:
    """The turns of a row of which nothing but its ids is known, by the template's header and closing tokens."""
    header = plain_ids(tokenizer, habits.assistant_header)
    blank = {i for i in set(ids) if not token_text(tokenizer, i).strip() and i not in habits.closing_ids}
    turns: list[Turn] = []
    at = 0
    while header and (at := _find(ids, header, at)) >= 0:
        earliest = start = at + len(header)
        while start < len(ids) and ids[start] in blank:
            start += 1
        terminator = next((i for i in range(start, len(ids)) if ids[i] in habits.closing_ids), None)
        end = len(ids) if terminator is None else terminator + 1
        latest = end
        while latest < len(ids) and (ids[latest] in blank or ids[latest] in habits.closing_ids):
            latest += 1
        turns.append(Turn(len(turns), earliest, start, end, latest, terminator))
        at = end
    return RowSpans(tuple(ids), tuple(turns), None)


def _find(ids: Sequence[int], part: Sequence[int], begin: int) -> int:
    found = (i for i in range(begin, len(ids) - len(part) + 1) if list(ids[i : i + len(part)]) == list(part))
    return next(found, -1)
