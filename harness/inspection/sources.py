"""Every document of a batch is a source row, every source row is there, and each has something to teach."""

from __future__ import annotations

from harness.chat.control import first_difference, name_token, quoted, token_text
from harness.chat.probe import leading_bos
from harness.inspection.batches import IGNORED
from harness.inspection.matching import Inspection, ending_ids, place
from harness.inspection.origins import Match
from harness.records import Finding


def rows_are_what_the_template_renders(seen: Inspection) -> list[Finding]:
    """Every document is a source row: whole, or cut where it reached the length limit; nothing added, nothing lost."""
    findings = []
    for match in seen.matches:
        if match.likeness == "fragment" and _lacks_only_bos(match, seen):
            findings.append(_without_bos(match, seen))
        elif match.likeness == "fragment" and not seen.plain:
            findings.append(
                Finding(
                    "a document is a piece from the middle of a conversation",
                    place(match, 0),
                    "the conversation from its first token on",
                    repr(token_text(seen.tokenizer, match.segment.ids[:12])),
                    "pack with packing_strategy='bfd', and raise max_length above the longest row",
                )
            )
        elif match.likeness == "altered" and not (seen.plain and not match.spans.turns):
            findings.append(_altered(match, seen))
    return findings


def _lacks_only_bos(match: Match, seen: Inspection) -> bool:
    bos = seen.tokenizer.bos_token_id
    expected = leading_bos(seen.tokenizer("a")["input_ids"], bos) if seen.plain else seen.habits.bos_run
    starts_with_bos = leading_bos(match.segment.ids, bos) > 0
    whole = match.segment.ids == match.spans.ids[: len(match.segment.ids)]
    return 0 < match.offset == expected and whole and not starts_with_bos


def _without_bos(match: Match, seen: Inspection) -> Finding:
    return Finding(
        "a training row has lost its BOS token",
        place(match, 0),
        f"{name_token(seen.tokenizer, seen.tokenizer.bos_token_id)}, with which the template starts",
        quoted(seen.tokenizer, match.segment.ids[:6]),
        "build rows with tokenizer.apply_chat_template(messages, tokenize=True), and not from pieces of text",
    )


def _altered(match: Match, seen: Inspection) -> Finding:
    ids, expected = match.segment.ids, match.spans.ids
    at = first_difference(ids, expected)
    ends_early = len(ids) == at + 1 and len(expected) > len(ids) and ids[-1] in ending_ids(seen)
    return Finding(
        "a cut row was given an end-of-turn token, so the model learns to stop mid-sentence"
        if ends_early
        else "a training row is not what the chat template renders",
        place(match, at),
        _with_ids(seen, expected[at : at + 6]),
        _with_ids(seen, ids[at : at + 6]),
        "leave cut rows without a terminator"
        if ends_early
        else "build rows with tokenizer.apply_chat_template(messages, tokenize=True), and not from pieces of text",
    )


def _with_ids(seen: Inspection, ids: tuple[int, ...]) -> str:
    """Tokens as text and as ids: other ids may read the same."""
    return f"{quoted(seen.tokenizer, ids)} (ids {', '.join(map(str, ids))})" if ids else "the end of the row"


def rows_start_with_one_bos(seen: Inspection) -> list[Finding]:
    """No document starts with BOS twice."""
    bos = seen.tokenizer.bos_token_id
    return [
        Finding(
            "a training row starts with more than one BOS token",
            place(match, 0),
            "none or one",
            f"{leading_bos(match.segment.ids, bos)} times {name_token(seen.tokenizer, bos)}",
            "give the trainer messages instead of text that was rendered before, or take bos_token out of that text",
        )
        for match in seen.matches
        if leading_bos(match.segment.ids, bos) > 1
    ]


def every_row_teaches(seen: Inspection) -> list[Finding]:
    """No row lost all that it could teach, and none was dropped on the way."""
    findings = [
        Finding(
            "a training row has nothing left to learn",
            place(match, len(match.segment.ids) - 1),
            "at least one supervised token after the first",
            f"none in {len(match.segment.ids)} tokens ({match.likeness})",
            f"raise max_length (now {seen.max_length}), or shorten the prompt"
            if match.likeness == "cut"
            else "see what finds the answer in the row: the response marker, the mask, the {% generation %} tags",
        )
        for match in seen.matches
        if all(label == IGNORED for label in match.segment.labels[1:])
    ]
    if seen.dropped and not seen.plain:
        findings.append(
            Finding(
                "training rows were dropped",
                f"{seen.dropped} rows" if seen.rows is None else f"{seen.dropped} of {seen.rows} rows",
                "every row in the training set",
                f"{seen.dropped} are not there",
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
                    place(match, 0),
                    "every message's content in the row",
                    f"nothing of message {', '.join(map(str, match.spans.unlocated))}",
                    "rename the role to one that the template knows, or change the template",
                )
            )
        told = match.likeness in ("whole", "cut", "unknown") and not seen.is_text_among_chats(match)
        if not match.spans.turns and not seen.plain and told:
            findings.append(
                Finding(
                    "a conversation has no assistant turn",
                    place(match, 0),
                    "a message whose role is 'assistant'",
                    quoted(seen.tokenizer, match.segment.ids[:12]),
                    "name the roles system, user, assistant and tool",
                )
            )
    return findings
