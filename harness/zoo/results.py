"""The results of a walk through the zoo in words: counts, outcomes, and the table of the docs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.report.markdown import code, plain, table
from harness.report.text import one_line
from harness.zoo.visit import Seen


def summary(results: Sequence[Seen]) -> dict[str, int | float]:
    """The counts of a walk; ``seconds`` is their sum."""
    of_faults = [seen for seen in results if seen.caught is not None]
    return {
        "faults": len(of_faults),
        "caught": sum(bool(seen.caught) for seen in of_faults),
        "missed": sum(not seen.caught for seen in of_faults),
        "twins": sum(seen.has_twin for seen in of_faults),
        "traps": len(results) - len(of_faults) - sum(bool(seen.broken) for seen in results),
        "false_alarms": sum(bool(seen.false_alarms) for seen in results),
        "broken": sum(bool(seen.broken) for seen in results),
        "seconds": round(sum(seen.seconds for seen in results), 1),
    }


def outcome(seen: Seen) -> str:
    """One word, or a few, for what became of an exhibit."""
    if seen.broken:
        return f"broken: {one_line(seen.broken)}"
    if seen.false_alarms:
        return f"false alarm: {', '.join(name for name, _ in seen.false_alarms)}"
    if seen.caught is None:
        return "silent, as it should"
    return "caught" if seen.caught else "missed"


def headline(results: Sequence[Seen]) -> str:
    """The walk in one line."""
    counts = summary(results)
    return (
        f"{counts['caught']} of {counts['faults']} faults caught; {counts['false_alarms']} false alarms on "
        f"{counts['twins']} twins and {counts['traps']} traps; {counts['seconds']} s"
    )


def to_markdown(results: Sequence[Seen], left_out: Mapping[str, str]) -> str:
    """The table of the docs."""
    faults = [seen for seen in results if seen.source]
    traps = [seen for seen in results if not seen.source]
    return "\n".join(
        [
            "# The zoo",
            "",
            "Real faults of fine-tuning, each injected into a small set-up. A named case of the suites must go red on",
            "it, and none may on its twin, the legitimate set-up that looks like it. Traps are set-ups that a naive",
            "check would flag. Written by `python -m harness zoo --markdown docs/zoo.md`; a part of it is looked at by",
            "`python -m harness zoo mask-01`.",
            "",
            f"**{headline(results)}**",
            "",
            table(("id", "fault", "caught by", "it says", "twin", "source", "s"), map(_fault_row, faults)),
            "",
            table(("id", "trap", "outcome", "s"), map(_trap_row, traps)),
            "",
            "Not in the zoo:",
            "",
            *(f"- {identity}: {reason}." for identity, reason in left_out.items()),
            "",
        ]
    )


def _fault_row(seen: Seen) -> tuple[str, ...]:
    name = f"{seen.name} (injected at {seen.where})" if seen.where else seen.name
    caught_by = ", ".join(code(case) for case in seen.named) if seen.caught else plain(outcome(seen))
    twin = plain(outcome(seen)) if seen.false_alarms else "silent" if seen.has_twin else "none"
    return (seen.id, plain(name), caught_by, plain(seen.sentence), twin, plain(seen.source), f"{seen.seconds:.1f}")


def _trap_row(seen: Seen) -> tuple[str, ...]:
    return (seen.id, plain(seen.name), plain(outcome(seen)), f"{seen.seconds:.1f}")
