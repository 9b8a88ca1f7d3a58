"""The training set as the loss sees it, side by side with what the template says it should be."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from harness.chat.conversation import Conversation, PlainText, read_row
from harness.chat.probe import ChatProbe, probe
from harness.chat.template import prepare
from harness.errors import UsageError
from harness.inspection.batches import (
    Batch,
    brought_masks,
    collated,
    collated_for_evaluation,
    dropped_rows,
    evaluation_set,
)
from harness.inspection.documents import Segment, segments
from harness.inspection.origins import Match, Origins, unknown
from harness.inspection.policy import Policy, declared_policy, limit_is_default, supervision_policy
from harness.inspection.row_forms import is_own_form, rows_as_trained
from harness.inspection.source_rows import Source, SourceRows

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, Trainer

LIMIT = 1000
"""Prepared rows that are inspected, from the first on."""


@dataclass(frozen=True)
class Inspection:
    """Everything the mask checks look at.

    ``rows`` is how many source rows there are (None: not known), ``dropped`` how many of them the training set lacks,
    ``sources`` the rows as they were read, where they are known. ``plain`` tells that they are text without turns.
    ``tokenizer`` has the template that rows are trained with; ``serving`` is the tokenizer of inference, and
    ``serving_options`` the template's variables as they are set there (None: as each row sets them).
    ``brought_masks`` holds columns of the prepared rows, by name, that are 0 or 1 for every token and are not the
    attention's. ``limit_is_default`` tells that nobody chose ``max_length``. ``evaluation`` is the same of the rows of
    evaluation.
    """

    batches: tuple[Batch, ...]
    matches: tuple[Match, ...]
    policy: Policy
    habits: ChatProbe
    tokenizer: PreTrainedTokenizerBase
    serving: PreTrainedTokenizerBase
    serving_options: Mapping[str, Any] | None
    sources: tuple[Source, ...]
    max_length: int | None
    limit_is_default: bool
    brought_masks: Mapping[str, tuple[tuple[int, ...], ...]]
    rows: int | None
    dropped: int
    plain: bool
    evaluation: Inspection | None = None

    def source_of(self, match: Match) -> Source | None:
        """The source row of a document, where it is known."""
        return None if match.source is None else self.sources[match.source]

    def conversation_of(self, match: Match) -> Conversation | None:
        """The source row of a document, where it is known and holds messages."""
        source = self.source_of(match)
        return source if isinstance(source, Conversation) else None

    def is_text_among_chats(self, match: Match) -> bool:
        """Whether a document is text without turns, by its source, in a set that has conversations too."""
        return not self.plain and isinstance(self.source_of(match), PlainText) and not match.spans.turns


def inspect_batches(
    trainer: Trainer,
    rows: Sequence[Mapping[str, Any]] | None = None,
    limit: int = LIMIT,
    *,
    supervised: str | None = None,
    serving: Mapping[str, Any] | None = None,
) -> Inspection:
    """Collate the first ``limit`` prepared rows and match every document with its source row.

    Without ``rows``, the source rows are those that trl leaves beside the prepared ones, if any. ``supervised``
    declares what is meant to be learned where the trainer's arguments do not; ``serving`` the template's variables at
    inference, such as ``{"enable_thinking": False}``.

    Raises:
        DataError: a source row is in no known form, or the template refuses it.
        UsageError: the trainer has no tokenizer or no causal model, or ``supervised`` is none of the policies.
        ModelError: the tokenizer gives no offsets.

    """
    if not hasattr(trainer, "get_train_dataloader") or not hasattr(trainer, "compute_loss"):
        raise UsageError(
            f"a {type(trainer).__name__} was given, which is no transformers Trainer (nor trl's SFTTrainer): give the "
            "trainer that train() would be called on"
        )
    declared: Policy | None = None if supervised is None else declared_policy(supervised)
    if getattr(getattr(trainer.model, "config", None), "is_encoder_decoder", False):
        raise UsageError(
            f"the trainer's model ({type(trainer.model).__name__}) is an encoder-decoder, whose labels are no copy of "
            "its input ids: only causal language models are inspected"
        )
    tokenizer, served = row_tokenizer(trainer), served_tokenizer(trainer)
    habits = probe(tokenizer)
    batches = collated(trainer, limit)
    found = [segment for batch in batches for segment in segments(batch)]
    known_rows = _rows_beside(trainer.train_dataset, limit) if rows is None else rows
    sources = rows_as_trained(known_rows, found[0], tokenizer)
    matches, unused = _matched(found, sources, tokenizer, habits, trainer.args)
    if is_own_form(known_rows) and not any(match.likeness in ("whole", "cut") for match in matches):
        sources, (matches, unused) = (), _matched(found, (), tokenizer, habits, trainer.args)
    training = Inspection(
        batches=tuple(batches),
        matches=matches,
        policy=declared or supervision_policy(trainer, sources, found),
        habits=habits,
        tokenizer=tokenizer,
        serving=served,
        serving_options=serving,
        sources=sources,
        max_length=getattr(trainer.args, "max_length", None),
        rows=None if rows is None else len(rows),
        dropped=_dropped(trainer.train_dataset, batches, unused, given=rows is not None and bool(sources)),
        plain=_is_plain(sources, matches),
        limit_is_default=limit_is_default(trainer.args),
        # Said to be False and not left open, completion_only_loss is the user's word against trl's own column.
        brought_masks={}
        if getattr(trainer.args, "completion_only_loss", None) is False
        else brought_masks(trainer.train_dataset, limit),
    )
    return replace(training, evaluation=_evaluation(trainer, training, limit))


def _evaluation(trainer: Trainer, training: Inspection, limit: int) -> Inspection | None:
    """The evaluation rows, held against what the training rows are meant to be."""
    batches = collated_for_evaluation(trainer, limit)
    if not batches:
        return None
    found = [segment for batch in batches for segment in segments(batch)]
    beside = _rows_beside(evaluation_set(trainer), limit)
    sources = tuple(read_row(row, number) for number, row in enumerate(beside))
    matches, _ = _matched(found, sources, training.tokenizer, training.habits, trainer.args)
    return replace(
        training, batches=tuple(batches), matches=matches, sources=sources, plain=_is_plain(sources, matches)
    )


def packed_rows(seen: Inspection) -> Iterator[tuple[Batch, list[Match]]]:
    """Every row of a batch that holds more than one document, with its documents in their order."""
    by_row: dict[int, list[Match]] = {}
    for match in seen.matches:
        by_row.setdefault(match.segment.row, []).append(match)
    for batch in seen.batches:
        for row in range(batch.first_row, batch.first_row + len(batch.inputs["input_ids"])):
            if len(by_row.get(row, ())) > 1:
                yield batch, by_row[row]


def row_tokenizer(trainer: Trainer) -> PreTrainedTokenizerBase:
    """The trainer's tokenizer, with the template that its rows are rendered with (trl may put a training one there).

    Raises:
        UsageError: the trainer has none.

    """
    tokenizer = served_tokenizer(trainer)
    training_template = getattr(trainer, "chat_template", None)
    if training_template:
        tokenizer.chat_template = training_template
    return tokenizer


def served_tokenizer(trainer: Trainer) -> PreTrainedTokenizerBase:
    """A copy of the trainer's tokenizer as it will be saved beside the model.

    Raises:
        UsageError: the trainer has none.

    """
    if trainer.processing_class is None:
        raise UsageError(
            "the trainer has no tokenizer, so its rows cannot be read: pass processing_class=tokenizer to the Trainer"
        )
    tokenizer = copy.copy(getattr(trainer.processing_class, "tokenizer", trainer.processing_class))
    if not hasattr(tokenizer, "get_vocab"):
        raise UsageError(
            f"the trainer's processing_class ({type(tokenizer).__name__}) is no tokenizer and holds none, so its rows "
            "cannot be read as text: pass the tokenizer, or a processor that has one"
        )
    prepare(tokenizer)
    return tokenizer


def _rows_beside(dataset: Any, limit: int) -> list[Mapping[str, Any]]:
    """The source columns that trl keeps in a prepared set that it has not packed; nothing where there are none."""
    columns = set(getattr(dataset, "column_names", None) or ())
    for kept in ({"messages"}, {"prompt", "completion"}):
        if kept <= columns and hasattr(dataset, "__len__"):
            beside = kept | (columns & {"tools", "chat_template_kwargs"})
            return list(dataset.select_columns(sorted(beside)).select(range(min(limit, len(dataset)))))
    return []


def _dropped(dataset: Any, batches: Sequence[Batch], unused: int, *, given: bool) -> int:
    """How many source rows are not in the training set, where that can be told."""
    if not given:
        return dropped_rows(dataset)
    looked_at = sum(len(batch.features) for batch in batches)
    return unused if hasattr(dataset, "__len__") and looked_at == len(dataset) else 0


def _is_plain(sources: Sequence[Source], matches: Sequence[Match]) -> bool:
    """Whether the rows are text without turns: as they were read or, where only ids are known, as far as they show."""
    if not sources:
        return not any(match.spans.turns for match in matches)
    return all(isinstance(source, PlainText) for source in sources)


def _matched(
    found: Sequence[Segment],
    sources: Sequence[Source],
    tokenizer: PreTrainedTokenizerBase,
    habits: ChatProbe,
    args: Any,
) -> tuple[tuple[Match, ...], int]:
    """The documents with their source rows, and how many source rows none of them was made of."""
    if not sources:
        return tuple(unknown(segment, tokenizer, habits) for segment in found), 0
    longest = getattr(args, "max_length", None) or max(len(segment.ids) for segment in found)
    keeps_end = getattr(args, "truncation_mode", "keep_start") == "keep_end"
    known = SourceRows(sources, tokenizer, longest, keeps_end)
    origins = Origins(known, tokenizer, habits)
    matches = tuple(match for segment in found for match in origins.of(segment))
    used = [match.source for match in matches if match.source is not None]
    all_clear = all(match.likeness in ("whole", "cut") for match in matches)
    return matches, len(known.unused(used)) if all_clear else 0


def ending_ids(seen: Inspection) -> frozenset[int]:
    """The tokens that may end what is learned: the eos token, and what the template closes turns with."""
    eos = seen.tokenizer.eos_token_id
    return frozenset({eos} if eos is not None else ()) | (frozenset() if seen.plain else seen.habits.closing_ids)


def place(match: Match, token: int) -> str:
    """A token of a document for a reader: the row it comes from, as the user counts rows, and its position."""
    row = f"prepared row {match.segment.row}" if match.source is None else f"training row {match.source}"
    return f"{row}, token {token} of {len(match.segment.ids)}"
