"""The rows that a training set was made of, tokenised as they should be, and found again from a document's ids."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Literal

from harness.chat.control import first_difference
from harness.chat.conversation import Conversation, PlainText
from harness.chat.spans import row_text
from harness.chat.template import REFUSALS
from harness.chat.tokens import Tokens, tokens_of
from harness.errors import DataError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Source = Conversation | PlainText
Likeness = Literal["whole", "cut", "fragment", "altered", "unknown"]

AT_ONCE = 512
"""Rows tokenised at a time: a document is looked for among the first rows before all of a large set are read."""

MOST = 20_000
"""Rows that are tokenised at most; a document that is none of these is of unknown origin where there are more."""

GRAM = 4
RARE = 20
"""Two rows are alike by the runs of 4 tokens that they share; a run that is in more than 20 rows tells nothing."""


@dataclass(frozen=True)
class Found:
    """The source row that a document is most like, and the row's token at which the document begins."""

    likeness: Likeness
    number: int
    offset: int = 0


class SourceRows:
    """Source rows and their tokens, which grow as documents are looked for.

    ``limit`` is the length from which on a document may be a row that was cut; ``keeps_end`` tells that cutting leaves
    a row's end and not its start. Raises DataError where the chat template refuses a row.
    """

    def __init__(
        self, rows: Sequence[Source], tokenizer: PreTrainedTokenizerBase, limit: int, keeps_end: bool = False
    ) -> None:
        self.rows = rows
        self._tokenizer, self._limit, self._keeps_end = tokenizer, limit, keeps_end
        self._plain = isinstance(rows[0], PlainText)
        self._tokens: list[Tokens] = []
        self._whole: dict[tuple[int, ...], int] = {}
        self._openings: dict[tuple[int, ...], list[int]] = defaultdict(list)
        self._packed: list[bytes] = []
        self._grams: dict[tuple[int, ...], set[int]] = defaultdict(set)
        self._grams_of = 0

    def tokens(self, number: int) -> Tokens:
        """The tokens of a row that was found."""
        return self._tokens[number]

    def find(self, ids: tuple[int, ...], expected_at: int) -> Found:
        """The row that a document was made of.

        ``expected_at`` is the number of the row that the document is, unless rows were shuffled, packed or dropped.
        """
        if (found := self._find_whole(ids)) is not None:
            return found
        found = self._find_cut(ids) or self._find_inside(ids)
        if found is not None:
            return found
        if len(self._tokens) < len(self.rows):
            return Found("unknown", min(expected_at, len(self._tokens) - 1))
        return Found("altered", self._most_alike(ids, expected_at))

    def unused(self, used: Iterable[int]) -> list[int]:
        """The rows that no document was made of, rows of the same text counted as one; nothing for very large sets."""
        while self._read_on():
            pass
        if len(self._tokens) < len(self.rows):
            return []
        seen = {self._without_eos(self._tokens[number].ids) for number in used}
        return [number for number, row in enumerate(self._tokens) if self._without_eos(row.ids) not in seen]

    def joined(self, ids: tuple[int, ...]) -> list[int]:
        """Where source rows begin in ids that are two or more of them, one after the other; else nothing."""
        starts, at = [], 0
        while at < len(ids):
            fitting = [
                len(row)
                for number in self._openings.get(ids[at : at + GRAM], ())
                if (row := self._tokens[number].ids) == ids[at : at + len(row)] or row[: len(ids) - at] == ids[at:]
            ]
            if not fitting:
                return []
            starts.append(at)
            at += max(fitting)
        return starts if len(starts) > 1 else []

    def _find_whole(self, ids: tuple[int, ...]) -> Found | None:
        while (key := self._without_eos(ids)) not in self._whole:
            if not self._read_on():
                return None
        return Found("whole", self._whole[key])

    def _without_eos(self, ids: tuple[int, ...]) -> tuple[int, ...]:
        """The ids by which a row is known: whether plain text ends by one eos, by two or by none is no other row."""
        if not self._plain:
            return ids
        eos, end = self._tokenizer.eos_token_id, len(ids)
        while end > 1 and ids[end - 1] == eos:
            end -= 1
        return ids[:end]

    def _find_cut(self, ids: tuple[int, ...]) -> Found | None:
        if len(ids) < self._limit:
            return None
        rows = self._openings.get(ids[:GRAM], ())
        number = next((number for number in rows if self._tokens[number].ids[: len(ids)] == ids), None)
        return None if number is None else Found("cut", number)

    def _find_inside(self, ids: tuple[int, ...]) -> Found | None:
        """A piece of a row that does not start with it: its end, kept by the length limit, or any other fragment."""
        part = array("q", ids).tobytes()
        for number, row in enumerate(self._packed):
            at = row.find(part)
            while at >= 0 and at % 8:
                at = row.find(part, at + 1)
            if at > 0:
                kept_end = self._keeps_end and at + len(part) == len(row) and len(ids) >= self._limit
                return Found("cut" if kept_end else "fragment", number, at // 8)
        return None

    def _most_alike(self, ids: tuple[int, ...], expected_at: int) -> int:
        for number in range(self._grams_of, len(self._tokens)):
            for gram in _grams(self._tokens[number].ids):
                self._grams[gram].add(number)
        self._grams_of = len(self._tokens)
        telling = [rows for gram in _grams(ids) if len(rows := self._grams.get(gram, set())) <= RARE]
        votes = Counter(number for rows in telling for number in rows)
        candidates = [number for number, _ in votes.most_common(5)] or list(range(min(len(self._tokens), 64)))
        if expected_at < len(self._tokens):
            candidates.append(expected_at)
        return max(candidates, key=lambda number: _alike(ids, self._tokens[number].ids))

    def _read_on(self) -> bool:
        """Tokenise some more rows; tell whether there were any."""
        known = len(self._tokens)
        chosen = self.rows[known : min(known + AT_ONCE, MOST)]
        if not chosen:
            return False
        texts = [self._text(row, known + number) for number, row in enumerate(chosen)]
        for tokens in tokens_of(self._tokenizer, texts, add_special_tokens=self._plain):
            self._whole.setdefault(self._without_eos(tokens.ids), len(self._tokens))
            self._openings[tokens.ids[:GRAM]].append(len(self._tokens))
            self._packed.append(array("q", tokens.ids).tobytes())
            self._tokens.append(tokens)
        return True

    def _text(self, row: Source, number: int) -> str:
        try:
            return row_text(self._tokenizer, row)
        except REFUSALS as error:
            raise DataError(
                f"training row {number} is refused by the chat template ({error}): change its roles or their order, "
                "or use a template that takes them"
            ) from error


def _grams(ids: tuple[int, ...]) -> set[tuple[int, ...]]:
    return set(zip(*(islice(ids, start, None) for start in range(GRAM)), strict=False))


def _alike(left: tuple[int, ...], right: tuple[int, ...]) -> tuple[int, int]:
    """How alike two rows are: the tokens they share at the start and at the end."""
    start = first_difference(left, right)
    shorter = min(len(left), len(right)) - start
    end = first_difference(left[::-1][:shorter], right[::-1][:shorter])
    return start + end, -abs(len(left) - len(right))
