"""Which source row every document of a batch was made of, and where its turns are in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.chat.control import plain_ids, token_text
from harness.chat.conversation import PlainText
from harness.chat.probe import ChatProbe
from harness.chat.spans import row_spans, spans_of_ids
from harness.chat.turns import RowSpans, Turn
from harness.inspection.documents import Segment
from harness.inspection.source_rows import Likeness, SourceRows

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Match:
    """A document of a batch and the source row it was made of.

    ``likeness``: the row is ``whole``, ``cut`` at the length limit, a ``fragment`` from its middle, or ``altered``:
    nearest to ``source``, but not the ids that the template gives. ``unknown`` where no source row is known. ``spans``
    are those of the row, counted from its token ``offset``, at which the document begins.
    """

    segment: Segment
    likeness: Likeness
    source: int | None
    spans: RowSpans
    offset: int = 0


@dataclass(frozen=True)
class Origins:
    """How documents are told apart: by the tokens of the ``known`` rows, their tokenizer, and its template's habits."""

    known: SourceRows
    tokenizer: PreTrainedTokenizerBase
    habits: ChatProbe

    def of(self, segment: Segment) -> Iterator[Match]:
        """The match of a document; several where code that marks no boundary has joined whole conversations."""
        origin = self.known.find(segment.ids, expected_at=segment.row)
        if origin.likeness == "unknown":
            yield unknown(segment, self.tokenizer, self.habits)
            return
        row = self.known.rows[origin.number]
        spans = row_spans(self.tokenizer, row, self.habits, self.known.tokens(origin.number))
        match = Match(segment, origin.likeness, origin.number, spans.from_token(origin.offset), origin.offset)
        if origin.likeness == "whole":
            yield match
            return
        if isinstance(row, PlainText):
            yield self._of_pieces(match, row) or match
            return
        parts = self.known.joined(segment.ids) if origin.likeness == "altered" else []
        if parts:
            yield from (found for part in _cut_at(parts, segment) for found in self.of(part))
        else:
            yield self._up_to_a_turn(match) or match

    def _up_to_a_turn(self, match: Match) -> Match | None:
        """A document that is the row up to the end of a turn, whatever harmless follows: white space, ends, padding."""
        ids, spans = match.segment.ids, match.spans
        ends = self.habits.closing_ids | {self.tokenizer.eos_token_id}
        harmless = ends | {self.tokenizer.pad_token_id}
        for k, turn in reversed(list(enumerate(spans.turns))):
            tail = ids[turn.end :]
            same = ids[: turn.end] == spans.ids[: turn.end] and len(ids) >= turn.end and not match.offset
            if same and all(token in harmless or self._is_blank(token) for token in tail):
                kept = (*spans.turns[:k], replace(turn, latest=turn.end + self._learnable(tail, ends)))
                contents = tuple(place for place in spans.contents if place[2] <= turn.end)
                whole = replace(spans, ids=ids, turns=kept, contents=contents, unlocated=())
                return replace(match, likeness="whole", spans=whole)
        return None

    def _learnable(self, tail: Sequence[int], ends: frozenset[int]) -> int:
        """How many of the tokens after a turn may be learned with it: up to one end token, not the padding after it."""
        ended = next((i + 1 for i, token in enumerate(tail) if token in ends), 0)
        while ended < len(tail) and self._is_blank(tail[ended]):
            ended += 1
        return ended

    def _is_blank(self, token: int) -> bool:
        return not token_text(self.tokenizer, token).strip()

    def _of_pieces(self, match: Match, row: PlainText) -> Match | None:
        """A row whose prompt and completion were tokenised apart, just as they meet at inference."""
        if not row.has_prompt:
            return None
        prompt = tuple(self.tokenizer(row.prompt)["input_ids"])
        eos = self.tokenizer.eos_token_id
        while len(prompt) > 1 and prompt[-1] == eos:
            prompt = prompt[:-1]
        ids, answer = match.segment.ids, tuple(plain_ids(self.tokenizer, row.completion))
        whole = (*prompt, *answer)
        if ids[: len(whole)] != whole or any(token != eos for token in ids[len(whole) :]):
            return None
        last = len(whole) if len(ids) > len(whole) else None
        turn = Turn(0, len(prompt), len(prompt), len(ids), len(ids), last)
        return replace(match, likeness="whole", spans=RowSpans(ids, (turn,), 0))


def unknown(segment: Segment, tokenizer: PreTrainedTokenizerBase, habits: ChatProbe) -> Match:
    """A document of which nothing but its ids is known."""
    return Match(segment, "unknown", None, spans_of_ids(tokenizer, segment.ids, habits))


def _cut_at(starts: Sequence[int], segment: Segment) -> Iterator[Segment]:
    for start, end in zip(starts, [*starts[1:], len(segment.ids)], strict=True):
        positions = segment.positions
        yield replace(
            segment,
            start=segment.start + start,
            ids=segment.ids[start:end],
            labels=segment.labels[start:end],
            positions=None if positions is None else positions[start:end],
        )
