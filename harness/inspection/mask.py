"""Which tokens of a row are learned: what the assistant says and the token that ends it. Empty lists: it holds.

The shift that every causal model applies drops the first label of a row, so index 0 is never looked at.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.chat.control import name_token, quoted
from harness.chat.conversation import PlainText
from harness.chat.turns import Turn
from harness.inspection.batches import IGNORED
from harness.inspection.matching import Inspection, ending_ids, place
from harness.inspection.origins import Match
from harness.inspection.policy import Policy
from harness.records import Finding

DECLARED: dict[Policy, str] = {
    "every turn": "every turn is to be learned",
    "last turn": "the last turn is to be learned",
    "completion": "the completion is to be learned",
    "every turn of the completion": "every turn of the completion is to be learned",
    "whole row": "the whole row is to be learned",
    "undeclared": "nothing is declared; the rows learn some turns and not all of their tokens",
}
"""What is meant to be learned, in words."""


def turns_are_supervised(seen: Inspection) -> list[Finding]:
    """Of every turn that is to be learned, content and terminator are supervised, and nothing else of the row is."""
    checkable = ("whole", "cut") if seen.plain else ("whole", "cut", "unknown")
    matches = [match for match in seen.matches if match.likeness in checkable]
    return _mixed(matches, seen) or [finding for match in matches for finding in _turns_of(match, seen)]


def _mixed(matches: Sequence[Match], seen: Inspection) -> list[Finding]:
    """Where nothing declares what is learned: rows of chats that learn their prompts among rows that do not."""
    if seen.policy != "undeclared":
        return []
    chats = [match for match in matches if match.spans.turns]
    whole = [match for match in chats if IGNORED not in match.segment.labels[1:]]
    if not whole or len(whole) == len(chats):
        return []
    fewer = whole if 2 * len(whole) <= len(chats) else [match for match in chats if match not in whole]
    return [
        Finding(
            "some rows learn their prompts and others do not",
            f"{place(fewer[0], 1)}, and {len(fewer) - 1} rows like it",
            "one way of masking for all rows",
            f"{len(whole)} of {len(chats)} rows supervise every token",
            "see where the mask gets lost on its way through the row builder or the collator",
        )
    ]


def _turns_of(match: Match, seen: Inspection) -> list[Finding]:
    supervised = [label != IGNORED for label in match.segment.labels]
    if (
        seen.policy == "whole row"
        or (seen.policy == "undeclared" and all(supervised[1:]))
        or (seen.is_text_among_chats(match) and not _has_a_prompt(match, seen))
    ):
        masked = [i for i, learned in enumerate(supervised) if not learned and i > 0]
        return [_masked(match, masked, seen, None)] if masked else []
    if seen.policy == "undeclared" and not match.spans.turns:
        return []  # text without turns, of which a marker or an offset may have chosen a part
    if match.segment.misplaced:
        return []  # labels that are no copy of the ids are another case's finding, and say nothing of the mask
    wanted, allowed = wanted_turns(match, seen), _allowed(match, seen)
    findings = []
    for turn in wanted:
        missing = [i for i in range(turn.start, min(turn.end, len(supervised))) if not supervised[i] and i > 0]
        if missing:
            findings.append(_masked(match, missing, seen, turn))
        if match.likeness == "whole" and turn.terminator is None and _ends_here(match, turn, seen):
            findings.append(_unended(match, turn, seen))
    if seen.policy == "undeclared" and wanted and match.likeness != "cut":
        findings += _left_out_at_the_end(match, wanted, seen)
    foreign = [i for i, learned in enumerate(supervised) if learned and i > 0 and i not in allowed]
    if foreign:
        findings.append(_foreign(match, foreign, seen))
    return findings


def _has_a_prompt(match: Match, seen: Inspection) -> bool:
    source = seen.source_of(match)
    return isinstance(source, PlainText) and source.has_prompt


def _ends_here(match: Match, turn: Turn, seen: Inspection) -> bool:
    """Whether the template would end this turn: one that calls tools may go on, or end in a way of its own."""
    source = seen.conversation_of(match)
    if source is None or not seen.habits.ends_last_turn:
        return False
    following = source.messages[turn.message + 1 : turn.message + 2]
    calls = source.messages[turn.message].get("tool_calls")
    return not calls and all(message["role"] in ("user", "system") for message in following)


def _left_out_at_the_end(match: Match, wanted: Sequence[Turn], seen: Inspection) -> list[Finding]:
    """The last turn alone, or every turn, is a way of masking; all but the last one is none, unless the row says so."""
    last = match.spans.turns[-1]
    source = seen.conversation_of(match)
    fields = source.messages[last.message].values() if source is not None else ()
    says_so = any(isinstance(value, int | float) and value == 0 for value in fields)  # weight: 0, train: false
    if last in wanted or says_so:
        return []
    missing = range(last.start, min(last.end, len(match.segment.ids)))
    return [_masked(match, missing, seen, last)] if missing else []


def wanted_turns(match: Match, seen: Inspection) -> list[Turn]:
    """The turns that the policy declares; where none is declared, those of which some token is learned."""
    labels = match.segment.labels
    turns = [turn for turn in match.spans.turns if turn.start < len(labels)]
    if seen.policy == "undeclared":
        return [turn for turn in turns if any(label != IGNORED for label in labels[turn.start : turn.end])]
    return [turn for turn in turns if turn.message >= _first_wanted(match, seen)]


def _first_wanted(match: Match, seen: Inspection) -> int:
    """The first message that is to be learned; in a row that does not tell prompt from completion, its last turn."""
    if seen.policy not in ("completion", "every turn of the completion", "last turn"):
        return 0
    if match.spans.completion_from is not None and seen.policy != "last turn":
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
    remedy = (
        "mask as many labels as tokenizer.apply_chat_template(messages[:-1], add_generation_prompt=True) has ids, and "
        "no more"
    )
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
        place(match, missing[0]),
        f"labels equal to ids for {quoted(seen.tokenizer, [match.segment.ids[i] for i in missing[:8]])}",
        f"{len(missing)} labels of -100",
        remedy,
    )


def _unended(match: Match, turn: Turn, seen: Inspection) -> Finding:
    after = match.segment.ids[turn.end : turn.end + 4]
    return Finding(
        "the template ends some turns with its terminator and this one without",
        place(match, turn.end),
        f"a control token, {seen.habits.terminator!r} as in other rows",
        f"{quoted(seen.tokenizer, after)} after the content" if after else "the end of the row",
        "let tokenizer.chat_template end every assistant turn in the same way",
    )


def _foreign(match: Match, foreign: Sequence[int], seen: Inspection) -> Finding:
    run = [i for n, i in enumerate(foreign) if i == foreign[0] + n]
    return Finding(
        "text that is not the assistant's is supervised",
        place(match, foreign[0]),
        f"labels of -100 outside the assistant's turns ({DECLARED[seen.policy]})",
        f"{len(foreign)} supervised tokens, first {quoted(seen.tokenizer, [match.segment.ids[i] for i in run[:8]])}",
        "mask the prompt: in trl by prompt and completion columns, or by assistant_only_loss=True with a template that "
        "marks {% generation %}; in code of your own up to the ids of apply_chat_template(messages[:-1], "
        "add_generation_prompt=True)",
    )


def terminator_is_learned(seen: Inspection) -> list[Finding]:
    """Some row teaches the model to end its turn, wherever the template writes an end after the last one."""
    if not seen.plain and not seen.habits.ends_last_turn:
        return []
    # Blocks that a long text was cut into have no end of their own to teach.
    in_blocks = seen.plain and bool(seen.sources) and not any(match.likeness == "whole" for match in seen.matches)
    if in_blocks or ends_are_learned(seen):
        return []
    return [
        Finding(
            "no row teaches the model to end its turn",
            f"{len(seen.matches)} rows",
            "a supervised " + " or ".join(name_token(seen.tokenizer, i) for i in sorted(ending_ids(seen))),
            "none",
            "end every answer with the template's terminator and leave it unmasked",
        )
    ]


def ends_are_learned(seen: Inspection) -> bool:
    """Whether a terminator is supervised in any row; where all rows are cut before their end, it is in none."""
    return any(label in ending_ids(seen) for match in seen.matches for label in match.segment.labels[1:])
