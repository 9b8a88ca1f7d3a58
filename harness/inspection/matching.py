"""The training set as the loss sees it, side by side with what the template says it should be."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from harness.chat.conversation import Conversation, PlainText, read_row
from harness.chat.probe import ChatProbe, probe
from harness.chat.spans import RowSpans, plain_row, row_spans, spans_of_ids
from harness.chat.template import REFUSALS, encode, prepare
from harness.errors import DataError, UsageError
from harness.inspection.batches import IGNORED, Batch, Segment, collated, segments

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, Trainer

Policy = Literal["every turn", "completion", "every turn of the completion", "whole row", "undeclared"]
"""Which tokens are meant to be learned. ``undeclared`` where only the labels themselves could tell."""

Likeness = Literal["whole", "cut", "fragment", "altered", "unknown"]


@dataclass(frozen=True)
class Match:
    """A document of a batch and the source row it was made of.

    ``likeness``: the row is ``whole``, ``cut`` at the length limit, a ``fragment`` from its middle, or ``altered``:
    nearest to ``source``, but not the ids that the template gives. ``unknown`` where no source rows are given.
    """

    segment: Segment
    likeness: Likeness
    source: int | None
    spans: RowSpans


@dataclass(frozen=True)
class Inspection:
    """Everything the mask checks look at. ``rows`` is how many source rows there are, ``prepared`` how many are left.

    ``prepared`` counts documents; None where the training set does not say how many it holds. ``plain`` tells that the
    rows are text without turns.
    """

    batches: tuple[Batch, ...]
    matches: tuple[Match, ...]
    policy: Policy
    habits: ChatProbe
    tokenizer: PreTrainedTokenizerBase
    max_length: int | None
    rows: int | None
    prepared: int | None
    plain: bool


def inspect_batches(trainer: Trainer, rows: Sequence[Mapping[str, Any]] | None = None, limit: int = 64) -> Inspection:
    """Collate the first ``limit`` prepared rows and match every document with its source row.

    Raises:
        DataError: a source row is in no known form, or the template refuses it.
        UsageError: the trainer has no tokenizer.
        ModelError: the tokenizer gives no offsets.

    """
    tokenizer = row_tokenizer(trainer)
    habits = probe(tokenizer)
    batches = collated(trainer, limit)
    found = [segment for batch in batches for segment in segments(batch)]
    sources = None if rows is None else [read_row(row, number) for number, row in enumerate(rows)]
    max_length = getattr(trainer.args, "max_length", None)
    matches = _matches(found, sources, tokenizer, habits, max_length)
    return Inspection(
        batches=tuple(batches),
        matches=tuple(matches),
        policy=supervision_policy(trainer, sources, found),
        habits=habits,
        tokenizer=tokenizer,
        max_length=max_length,
        rows=None if rows is None else len(rows),
        prepared=_documents_left(trainer.train_dataset),
        plain=_is_plain(sources, matches),
    )


def row_tokenizer(trainer: Trainer) -> PreTrainedTokenizerBase:
    """The trainer's tokenizer, with the template that its rows are rendered with (trl may put a training one there).

    Raises:
        UsageError: the trainer has none.

    """
    if trainer.processing_class is None:
        raise UsageError(
            "the trainer has no tokenizer, so its rows cannot be read: pass processing_class=tokenizer to the Trainer"
        )
    tokenizer = copy.copy(getattr(trainer.processing_class, "tokenizer", trainer.processing_class))
    tokenizer.chat_template = getattr(trainer, "chat_template", None) or tokenizer.chat_template
    prepare(tokenizer)
    return tokenizer


def supervision_policy(
    trainer: Trainer, sources: Sequence[Conversation | PlainText] | None, found: Iterable[Segment]
) -> Policy:
    """What the trainer's arguments and the columns declare as supervised, as trl reads them."""
    args = trainer.args
    completion_only = getattr(trainer, "completion_only_loss", False)
    if getattr(args, "assistant_only_loss", False):
        return "every turn of the completion" if completion_only else "every turn"
    if completion_only:
        return "completion"
    if hasattr(args, "completion_only_loss") and not any(IGNORED in segment.labels[1:] for segment in found):
        return "whole row"
    if sources and all(isinstance(source, PlainText) and source.has_prompt for source in sources):
        return "completion"
    return "undeclared"


def _is_plain(sources: Sequence[Conversation | PlainText] | None, matches: Sequence[Match]) -> bool:
    """Whether the rows are text without turns: as they were read or, where only ids are known, as far as they show."""
    if sources is None:
        return not any(match.spans.turns for match in matches)
    return all(isinstance(source, PlainText) for source in sources)


def _documents_left(dataset: Any) -> int | None:
    if not hasattr(dataset, "__len__"):
        return None
    if "seq_lengths" in (getattr(dataset, "column_names", None) or ()):
        return sum(len(lengths) for lengths in dataset["seq_lengths"])
    return len(dataset)


def _matches(
    found: Sequence[Segment],
    sources: Sequence[Conversation | PlainText] | None,
    tokenizer: PreTrainedTokenizerBase,
    habits: ChatProbe,
    max_length: int | None,
) -> list[Match]:
    if sources is None:
        return [Match(segment, "unknown", None, spans_of_ids(tokenizer, segment.ids, habits)) for segment in found]
    expected = [_expected_ids(tokenizer, source, number) for number, source in enumerate(sources)]
    whole = {ids: number for number, ids in reversed(list(enumerate(expected)))}
    limit = max_length or max(len(segment.ids) for segment in found)
    matches = []
    for segment in found:
        likeness, number = _likeness(segment.ids, expected, whole, limit)
        matches.append(Match(segment, likeness, number, row_spans(tokenizer, sources[number], habits)))
    return matches


def _expected_ids(tokenizer: PreTrainedTokenizerBase, source: Conversation | PlainText, number: int) -> tuple[int, ...]:
    if isinstance(source, PlainText):
        return plain_row(tokenizer, source).ids
    try:
        return tuple(encode(tokenizer, source.messages, **source.options))
    except REFUSALS as error:
        raise DataError(
            f"training row {number} is refused by the chat template ({error}): change its roles or their order, "
            "or use a template that takes them"
        ) from error


def _likeness(
    ids: tuple[int, ...], expected: Sequence[tuple[int, ...]], whole: Mapping[tuple[int, ...], int], limit: int
) -> tuple[Likeness, int]:
    """How a document relates to the source row that it is most like, and the number of that row."""
    if ids in whole:
        return "whole", whole[ids]
    for number, row in enumerate(expected):
        if len(ids) >= limit and row[: len(ids)] == ids:
            return "cut", number
    for number, row in enumerate(expected):
        if len(ids) < len(row) and row[: len(ids)] != ids and _contains(row, ids):
            return "fragment", number
    return "altered", max(range(len(expected)), key=lambda number: _alike(ids, expected[number]))


def _contains(ids: Sequence[int], part: Sequence[int]) -> bool:
    return any(
        ids[start] == part[0] and ids[start : start + len(part)] == part for start in range(len(ids) - len(part) + 1)
    )


def _alike(left: Sequence[int], right: Sequence[int]) -> tuple[int, int]:
    """How alike two rows are: the tokens they share at the start and at the end."""
    shorter = min(len(left), len(right))
    start = next((i for i in range(shorter) if left[i] != right[i]), shorter)
    end = next((i for i in range(shorter - start) if left[-1 - i] != right[-1 - i]), shorter - start)
    return start + end, -abs(len(left) - len(right))


def ending_ids(seen: Inspection) -> frozenset[int]:
    """The tokens that may end what is learned: the eos token, and what the template closes turns with."""
    eos = seen.tokenizer.eos_token_id
    return frozenset({eos} if eos is not None else ()) | (frozenset() if seen.plain else seen.habits.closing_ids)


def place(match: Match, token: int) -> str:
    """A token of a document for a reader: the row it comes from, as the user counts rows, and its position."""
    row = f"prepared row {match.segment.row}" if match.source is None else f"training row {match.source}"
    return f"{row}, token {token} of {len(match.segment.ids)}"
