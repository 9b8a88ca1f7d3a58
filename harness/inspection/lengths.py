"""How much of the rows the length limit takes away."""

from __future__ import annotations

from harness.inspection.matching import Inspection, place
from harness.inspection.origins import Match
from harness.records import Finding

ALLOWED = 0.25
ALLOWED_UNCHOSEN = 0.05
"""Shares of rows that may lose their end. A limit that somebody chose may cost more than a library's default, which is
there whether or not it fits the data. Both are rules of this project: a few long rows are usual, a quarter is not."""


def few_rows_are_cut(seen: Inspection) -> list[Finding]:
    """Few answers lose their end to the length limit; plain text may be cut, since every part of it teaches."""
    with_answers = [
        match for match in seen.matches if match.spans.turns and match.likeness in ("whole", "cut", "unknown")
    ]
    longest_seen = max((len(match.segment.ids) for match in with_answers), default=0)
    cut = [match for match in with_answers if _loses_its_end(match, seen, longest_seen)]
    allowed = ALLOWED_UNCHOSEN if seen.limit_is_default else ALLOWED
    # Where no limit is known, rows of one length say that there is one; a single short row says nothing.
    ends = {len(match.segment.ids) for match in cut}
    if len(cut) <= allowed * len(with_answers) or (seen.max_length is None and (len(ends) > 1 or len(cut) < 2)):
        return []
    longest = max(len(match.spans.ids) + match.offset for match in cut)
    known = all(match.likeness == "cut" for match in cut)
    limit = f"max_length {seen.max_length}" if seen.max_length else f"{len(cut[0].segment.ids)} tokens"
    chosen = "the default of the trainer" if seen.limit_is_default else "as the preparation was set"
    return [
        Finding(
            "many answers are cut off by the length limit",
            f"{place(cut[0], len(cut[0].segment.ids) - 1)}, and {len(cut) - 1} rows like it",
            f"at most {allowed:.0%} of the rows cut",
            f"{len(cut)} of {len(with_answers)} rows ({len(cut) / len(with_answers):.0%}) at {limit}, "
            f"{chosen}" + (f"; the longest has {longest} tokens" if known else ""),
            f"raise the limit{f' to {longest}' if known else ''}, or shorten or split these rows",
        )
    ]


def _loses_its_end(match: Match, seen: Inspection, longest: int) -> bool:
    """Whether a row ends before its last turn does; of an unknown row, whether it is as long as any and has no end."""
    last = match.spans.turns[-1]
    if match.likeness == "unknown":
        return len(match.segment.ids) == longest and last.terminator is None and seen.habits.ends_last_turn
    return match.likeness == "cut" and last.end > len(match.segment.ids)
