"""What must hold of the batches that reach the loss. Empty lists: it holds.

The shift that every causal model applies drops the first label of a row, so index 0 is never looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.chat.control import first_difference, name_token, token_text
from harness.chat.probe import leading_bos
from harness.chat.spans import Turn
from harness.records import Finding
from harness.training.batches import IGNORED, Batch, Segment, segments
from harness.training.inspection import Inspection, Match

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def rows_are_what_the_template_renders(seen: Inspection) -> list[Finding]:
    """Every document is a source row: whole, or cut where it reached the length limit; nothing added, nothing lost."""
    findings = []
    for match in seen.matches:
        if match.likeness == "fragment" and not seen.plain:
            findings.append(
                Finding(
                    "a document is a piece from the middle of a conversation",
                    _where(match, 0),
                    "the conversation from its first token on",
                    repr(token_text(seen.tokenizer, match.segment.ids[:12])),
                    "pack with packing_strategy='bfd', and raise max_length above the longest row",
                )
            )
        elif match.likeness == "altered" and not (seen.plain and seen.policy == "whole row"):
            findings.append(_altered(match, seen))
    return findings


def _altered(match: Match, seen: Inspection) -> Finding:
    ids, expected = match.segment.ids, match.spans.ids
    at = first_difference(ids, expected)
    ends_early = len(ids) == at + 1 and len(expected) > len(ids) and ids[-1] in _ending_ids(seen)
    return Finding(
        "a cut row was given an end-of-turn token, so the model learns to stop in the middle of a sentence"
        if ends_early
        else "a training row is not what the chat template renders",
        _where(match, at),
        _shown(seen.tokenizer, expected[at : at + 6]) or "the end of the row",
        _shown(seen.tokenizer, ids[at : at + 6]) or "the end of the row",
        "leave cut rows without a terminator"
        if ends_early
        else "build rows with tokenizer.apply_chat_template(messages, tokenize=True), and not from pieces of text",
    )


def rows_start_with_one_bos(seen: Inspection) -> list[Finding]:
    """No document starts with BOS twice."""
    bos = seen.tokenizer.bos_token_id
    return [
        Finding(
            "a training row starts with more than one BOS token",
            _where(match, 0),
            "none or one",
            f"{leading_bos(match.segment.ids, bos)} times {name_token(seen.tokenizer, bos)}",
            "give the trainer messages instead of text that was rendered before, or take bos_token out of that text",
        )
        for match in seen.matches
        if leading_bos(match.segment.ids, bos) > 1
    ]


def turns_are_supervised(seen: Inspection) -> list[Finding]:
    """Of every turn that is to be learned, content and terminator are supervised, and nothing else of the row is."""
    findings = []
    for match in seen.matches:
        if match.likeness in ("whole", "cut", "unknown"):
            findings += _turns_of(match, seen)
    return findings


def _turns_of(match: Match, seen: Inspection) -> list[Finding]:
    supervised = [label != IGNORED for label in match.segment.labels]
    if seen.policy == "whole row" or (seen.policy == "undeclared" and all(supervised[1:])):
        masked = [i for i, learned in enumerate(supervised) if not learned and i > 0]
        return [_masked(match, masked, seen, None)] if masked else []
    wanted, allowed = _wanted(match, seen, supervised), _allowed(match, seen)
    findings = []
    for turn in wanted:
        missing = [i for i in range(turn.start, min(turn.end, len(supervised))) if not supervised[i] and i > 0]
        if missing:
            findings.append(_masked(match, missing, seen, turn))
    foreign = [i for i, learned in enumerate(supervised) if learned and i > 0 and i not in allowed]
    if foreign:
        findings.append(_foreign(match, foreign, seen))
    return findings


def _wanted(match: Match, seen: Inspection, supervised: Sequence[bool]) -> list[Turn]:
    """The turns that the policy declares; where none is declared, those of which some token is learned."""
    turns = [turn for turn in match.spans.turns if turn.start < len(supervised)]
    if seen.policy == "undeclared":
        return [turn for turn in turns if any(supervised[turn.start : turn.end])]
    return [turn for turn in turns if turn.message >= _first_wanted(match, seen)]


def _first_wanted(match: Match, seen: Inspection) -> int:
    """The first message that is to be learned; in a row that does not tell prompt from completion, its last turn."""
    if seen.policy not in ("completion", "every turn of the completion"):
        return 0
    if match.spans.completion_from is not None:
        return match.spans.completion_from
    return max((turn.message for turn in match.spans.turns), default=0)


def _allowed(match: Match, seen: Inspection) -> set[int]:
    turns = [turn for turn in match.spans.turns if turn.message >= _first_wanted(match, seen)]
    if seen.policy == "completion" and turns:
        # trl supervises a completion to its end, with what stands between its turns.
        return set(range(turns[0].earliest, turns[-1].latest))
    return {i for turn in turns for i in range(turn.earliest, turn.latest)}


def _masked(match: Match, missing: Sequence[int], seen: Inspection, turn: Turn | None) -> Finding:
    what = "tokens of an assistant turn are masked"
    remedy = "count the prompt's tokens on the ids of the whole row, and compare with row_spans of harness.chat"
    if turn is None:
        what = "tokens are masked although the whole row is to be learned"
    elif list(missing) == [turn.terminator]:
        what = "the token that ends the turn is masked, so the model never learns to stop"
        remedy = "include the terminator in the mask; do not mask labels by comparing ids with pad_token_id"
    elif missing[0] == turn.start and len(missing) == 1:
        what = "the first token of the answer is masked"
    elif missing[0] == turn.start and len(missing) == min(turn.end, len(match.segment.ids)) - turn.start:
        what = "a whole assistant turn is masked"
        remedy = "supervise every assistant turn (assistant_only_loss=True), or declare that only the completion counts"
    return Finding(
        what,
        _where(match, missing[0]),
        f"labels equal to ids for {_shown(seen.tokenizer, [match.segment.ids[i] for i in missing[:8]])}",
        f"{len(missing)} labels of -100",
        remedy,
    )


def _foreign(match: Match, foreign: Sequence[int], seen: Inspection) -> Finding:
    run = [i for n, i in enumerate(foreign) if i == foreign[0] + n]
    return Finding(
        "text that is not the assistant's is supervised",
        _where(match, foreign[0]),
        f"labels of -100 outside the assistant's turns ({seen.policy})",
        f"{len(foreign)} supervised tokens, first {_shown(seen.tokenizer, [match.segment.ids[i] for i in run[:8]])}",
        "mask the prompt: prompt and completion columns, or assistant_only_loss=True with a template that marks "
        "{% generation %}",
    )


def labels_are_the_ids(seen: Inspection) -> list[Finding]:
    """A label is the id at its own position, or ignored: the model does the shift."""
    findings = []
    for match in seen.matches:
        pairs = enumerate(zip(match.segment.ids, match.segment.labels, strict=True))
        wrong = [(i, label) for i, (token_id, label) in pairs if label not in (token_id, IGNORED)]
        if wrong:
            at, label = wrong[0]
            shifted = at + 1 < len(match.segment.ids) and match.segment.ids[at + 1] == label
            findings.append(
                Finding(
                    "labels are shifted before the model shifts them again" if shifted else "a label is not its id",
                    _where(match, at),
                    f"{name_token(seen.tokenizer, match.segment.ids[at])} or -100",
                    f"{label}, and {len(wrong)} such labels in the row",
                    "give the model labels that are a copy of input_ids with -100 where nothing is learned",
                )
            )
    return findings


def padding_is_ignored(seen: Inspection) -> list[Finding]:
    """Padding has no label and no attention, and no real token is taken for padding."""
    return [finding for batch in seen.batches for finding in _padding_of(batch)]


def _padding_of(batch: Batch) -> list[Finding]:
    if "attention_mask" not in batch.inputs or batch.inputs["attention_mask"].dim() != 2:
        return []
    findings = []
    masks, labels = batch.inputs["attention_mask"].tolist(), batch.inputs["labels"].tolist()
    for b, (mask, row_labels) in enumerate(zip(masks, labels, strict=True)):
        where = f"prepared row {batch.first_row + b}"
        learned = [
            i for i, (kept, label) in enumerate(zip(mask, row_labels, strict=True)) if not kept and label != IGNORED
        ]
        if learned:
            findings.append(
                Finding(
                    "padding is supervised",
                    f"{where}, token {learned[0]}",
                    "labels of -100 on padding",
                    f"{len(learned)} labels on padding",
                    "pad labels with -100, as trl's DataCollatorForLanguageModeling does",
                )
            )
        length = _feature_length(batch, b)
        if length is not None and sum(mask) != length:
            findings.append(
                Finding(
                    "the attention mask does not cover the row",
                    where,
                    f"{length} tokens, as many as the prepared row has",
                    f"{sum(mask)}",
                    "build attention_mask from the rows' lengths, not by comparing ids with pad_token_id",
                )
            )
    return findings


def _feature_length(batch: Batch, row: int) -> int | None:
    if len(batch.features) != len(batch.inputs["input_ids"]) or "input_ids" not in batch.features[row]:
        return None
    return len(batch.features[row]["input_ids"])


def collator_keeps_labels(seen: Inspection) -> list[Finding]:
    """The collator passes on the labels of the prepared rows (the first of a document does not count)."""
    findings = []
    for batch in seen.batches:
        if not all("labels" in feature for feature in batch.features):
            continue
        prepared = [label for feature in batch.features for label in feature["labels"]]
        given = [(segment, i) for segment in segments(batch) for i in range(len(segment.labels))]
        if len(prepared) != len(given):
            continue
        wrong = [
            (segment, i, label)
            for label, (segment, i) in zip(prepared, given, strict=True)
            if i > 0 and segment.labels[i] != label
        ]
        if wrong:
            segment, i, label = wrong[0]
            findings.append(
                Finding(
                    "the collator changes the labels of the prepared rows",
                    f"prepared row {segment.row}, token {segment.start + i}",
                    str(label),
                    f"{segment.labels[i]}, and {len(wrong)} such labels in the batch",
                    "use a collator that pads labels and leaves them otherwise: trl's, or DataCollatorForSeq2Seq",
                )
            )
    return findings


def packed_documents_are_apart(seen: Inspection) -> list[Finding]:
    """In packed rows position ids restart, no 2-D mask joins the documents, and no label crosses a boundary."""
    findings = []
    for batch in seen.batches:
        found = segments(batch)
        packed = len(found) > len(batch.inputs["input_ids"])
        if packed and "attention_mask" in batch.inputs and batch.inputs["attention_mask"].dim() == 2:
            findings.append(_joined(found[1], "a 2-D attention mask", "leave attention_mask out of packed batches"))
        for segment in found if packed else ():
            if segment.positions is None:
                findings.append(_joined(segment, "no position_ids", "collate packed rows with padding_free=True"))
            elif list(segment.positions) != list(range(len(segment.ids))):
                findings.append(_joined(segment, f"position_ids {segment.positions[:6]}", "restart position_ids at 0"))
            if segment.start > 0 and segment.labels[0] != IGNORED:
                findings.append(_joined(segment, "a label on the document's first token", "set that label to -100"))
    return findings


def _joined(segment: Segment, found: str, remedy: str) -> Finding:
    return Finding(
        "documents packed into one row are not kept apart",
        f"prepared row {segment.row}, the document that starts at token {segment.start}",
        "position ids from 0 on, no 2-D attention mask, no label on the first token",
        found,
        remedy,
    )


def every_row_teaches(seen: Inspection) -> list[Finding]:
    """No row lost all that it could teach, and none was dropped on the way."""
    findings = [
        Finding(
            "a training row has nothing left to learn",
            _where(match, len(match.segment.ids) - 1),
            "at least one supervised token after the first",
            f"none in {len(match.segment.ids)} tokens ({match.likeness})",
            f"raise max_length (now {seen.max_length}), or shorten the prompt",
        )
        for match in seen.matches
        if all(label == IGNORED for label in match.segment.labels[1:])
    ]
    if seen.rows is not None and seen.prepared is not None and seen.prepared < seen.rows and not seen.plain:
        findings.append(
            Finding(
                "training rows were dropped",
                f"{seen.rows - seen.prepared} of {seen.rows} rows",
                f"{seen.rows} documents to train on",
                f"{seen.prepared}",
                f"raise max_length (now {seen.max_length}): rows whose answer lies beyond it are dropped in silence",
            )
        )
    return findings


def messages_reach_the_row(seen: Inspection) -> list[Finding]:
    """Every message of the source rows is written by the template, and every conversation has an assistant turn."""
    findings = []
    for match in seen.matches:
        if match.spans.unlocated:
            findings.append(
                Finding(
                    "the template does not write a message of this row",
                    _where(match, 0),
                    "every message's content in the row",
                    f"nothing of message {', '.join(map(str, match.spans.unlocated))}",
                    "rename the role to one that the template knows, or change the template",
                )
            )
        if not match.spans.turns and seen.policy != "whole row" and match.likeness in ("whole", "cut", "unknown"):
            findings.append(
                Finding(
                    "a conversation has no assistant turn",
                    _where(match, 0),
                    "a message whose role is 'assistant'",
                    _shown(seen.tokenizer, match.segment.ids[:12]),
                    "name the roles system, user, assistant and tool",
                )
            )
    return findings


def terminator_is_learned(seen: Inspection) -> list[Finding]:
    """Some row teaches the model to end its turn, wherever the template writes an end after the last one."""
    if not seen.plain and not seen.habits.ends_last_turn:
        return []
    if _ends_are_learned(seen):
        return []
    return [
        Finding(
            "no row teaches the model to end its turn",
            f"{len(seen.matches)} rows",
            "a supervised " + " or ".join(name_token(seen.tokenizer, i) for i in sorted(_ending_ids(seen))),
            "none",
            "end every answer with the template's terminator and leave it unmasked",
        )
    ]


def notes(seen: Inspection) -> tuple[str, ...]:
    """What is legitimate but worth knowing: how rows are supervised, how many were cut, how turns end."""
    cut = sum(match.likeness == "cut" for match in seen.matches)
    said = [f"supervised: {seen.policy}"]
    if seen.policy == "whole row" and not seen.plain:
        said.append("prompts are learned too; completion_only_loss or assistant_only_loss would leave them out")
    if cut:
        said.append(f"{cut} of {len(seen.matches)} inspected rows are cut at max_length {seen.max_length}")
    if not seen.plain and not seen.habits.ends_last_turn and not _ends_are_learned(seen):
        said.append("the template ends a turn only by the next one's marker, and no row supervises that marker")
    return tuple(said)


def _ends_are_learned(seen: Inspection) -> bool:
    """Whether a terminator is supervised in any row that was not cut, or there is no such row."""
    whole = [match.segment for match in seen.matches if match.likeness in ("whole", "unknown")]
    return not whole or any(label in _ending_ids(seen) for segment in whole for label in segment.labels[1:])


def _ending_ids(seen: Inspection) -> frozenset[int]:
    eos = seen.tokenizer.eos_token_id
    return frozenset({eos} if eos is not None else ()) | (frozenset() if seen.plain else seen.habits.closing_ids)


def _where(match: Match, token: int) -> str:
    row = f"prepared row {match.segment.row}" if match.source is None else f"training row {match.source}"
    return f"{row}, token {token} of {len(match.segment.ids)}"


def _shown(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> str:
    return repr(token_text(tokenizer, ids)) if ids else ""
