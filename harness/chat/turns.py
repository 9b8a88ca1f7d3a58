"""What is said of a row's tokens: where its assistant turns are, and where its contents."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Turn:
    """The tokens of one assistant turn, as half-open indices into the row.

    Tokens ``start`` to ``end`` are the content and the terminator: they must be supervised for the turn to be
    learned. Supervision may begin as early as ``earliest`` (the header's end, its last line break included: templates
    write scaffolding such as empty thinking blocks there) and end as late as ``latest`` (white space and further
    closing tokens).
    ``terminator`` is the index of the token that ends the turn, None where the template writes none here.
    """

    message: int
    earliest: int
    start: int
    end: int
    latest: int
    terminator: int | None


@dataclass(frozen=True)
class RowSpans:
    """A row with its turns.

    ``unlocated`` holds the messages whose content the template did not write, ``contents`` the others: their number
    and the half-open range of tokens that their content covers.
    """

    ids: tuple[int, ...]
    turns: tuple[Turn, ...]
    completion_from: int | None
    unlocated: tuple[int, ...] = ()
    contents: tuple[tuple[int, int, int], ...] = ()

    def from_token(self, offset: int) -> RowSpans:
        """The same spans for a piece of the row that begins at this token; turns that end before it are left out."""
        if not offset:
            return self
        return replace(
            self,
            ids=self.ids[offset:],
            turns=tuple(_moved(turn, offset) for turn in self.turns if turn.end > offset),
            contents=tuple((k, start - offset, end - offset) for k, start, end in self.contents if end > offset),
        )


def _moved(turn: Turn, offset: int) -> Turn:
    return replace(
        turn,
        earliest=max(0, turn.earliest - offset),
        start=max(0, turn.start - offset),
        end=turn.end - offset,
        latest=turn.latest - offset,
        terminator=None if turn.terminator is None else turn.terminator - offset,
    )
