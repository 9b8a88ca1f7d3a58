"""The report as GitHub-flavoured Markdown that fits into a comment on a pull request."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, fields

from harness.records import Outcome, Report, StageScores, Verdict
from harness.report import numbers, stages, summary
from harness.report.text import crop, one_line, supervised_runs, visible

COMMENT_LIMIT = 65_536
"""Characters that GitHub takes in one comment (its API answers "body is too long (maximum is 65536 characters)")."""

_ROOM_FOR_LAST_LINE = 500
_CHARACTERS, _LINES = 600, 12
_REASONS_SHOWN = 30

_SIGNS = {
    Outcome.REGRESSED: "🔴",
    Outcome.UNCHANGED: "🟢",
    Outcome.IMPROVED: "🟢",
    Outcome.INCONCLUSIVE: "🟡",
    Outcome.NEW: "🔵",
    Outcome.MISSING: "🟣",
    Outcome.NOT_COMPARABLE: "🟣",
    Outcome.NOT_INFORMATIVE: "🟡",
    Outcome.INVALID: "🔴",
}

_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;", "`": "&#96;", "\\": "&#92;", "$": "&#36;"}
_ENTITIES |= {"@": "&#64;&#8203;"}  # a zero-width space, so that nobody is notified by a model's answer
_SPECIAL = re.compile(
    r"[&<>|`\\$@*\[\]~#!]"
    r"|(?<![^\W_])_|_(?![^\W_])"  # inside a word it means nothing, and names stay legible
    r"|:(?=\S)|(?<=www)\."  # no links from bare addresses, no emoji from :names:
    r"|^[-+=](?![\d.])"
)


def to_markdown(report: Report) -> str:
    """Return the report, the summary first; sections that would pass ``COMMENT_LIMIT`` are named, not printed."""
    text = ""
    left_out = []
    for title, body in _sections(report):
        section = f"{body}\n\n"
        if len(text) + len(section) > COMMENT_LIMIT - _ROOM_FOR_LAST_LINE:
            left_out.append(title)
        else:
            text += section
    if left_out:
        text += f"Left out, to fit into a comment: {', '.join(left_out)[:300]}. The JSON report has everything.\n"
    return text.rstrip("\n") + "\n"


def _sections(report: Report) -> Iterator[tuple[str, str]]:
    yield "summary", _summary(report)
    owed = [verdict for verdict in report.verdicts if summary.explained(report, verdict)]
    if report.broken:
        yield "broken cases", _broken(report)
    if owed:
        yield "reasons", _reasons(owed)
    for suite, verdicts in summary.suites(report).items():
        yield plain(suite), f"### {plain(suite)}\n\n{_verdicts(verdicts)}"
    if report.stages is not None:
        yield stages.TITLE, _stages(report.stages)
    if report.notes:
        yield "notes", "### notes\n\n" + _bullets(report.notes)
    if report.answers:
        yield "answers", _folded("answers side by side", _answers(report))
    if report.rows:
        yield "training rows", _folded("training rows: what the loss sees is between ⟦ and ⟧", _rows(report))


def plain(text: str) -> str:
    """Return untrusted text as one line of Markdown that means nothing but itself."""
    return _SPECIAL.sub(_escaped, one_line(text))


def _escaped(found: re.Match[str]) -> str:
    return _ENTITIES.get(found[0], f"\\{found[0]}")


def code(text: str) -> str:
    """Return untrusted text as a table cell: cropped, its lines kept, nothing in it interpreted."""
    if not text.strip():
        return "*(empty)*"
    lines = crop(text, _CHARACTERS, _LINES).split("\n")
    return "<br>".join(f"<code>{_SPECIAL.sub(_escaped, line)}</code>" for line in lines)


def fence(text: str) -> str:
    """Return text as a code block whose fence is longer than any run of backticks in it."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    mark = "`" * max(3, longest + 1)
    return f"{mark}text\n{text}\n{mark}"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], right: frozenset[str] = frozenset()) -> str:
    """Return a table of cells that are Markdown already; the columns named in ``right`` are set to the right."""
    lines = [heads, ["---:" if head in right else "---" for head in heads], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _summary(report: Report) -> str:
    sign = "🟢" if summary.passes(report) else "🔴"
    heading = f"## {sign} pytest-sft: {summary.headline(report)}"
    counted = [(str(n), f"{_SIGNS[outcome]} {outcome.value}") for outcome, n in summary.counts(report.verdicts).items()]
    if report.broken:
        counted.append((str(len(report.broken)), "🔴 broken case"))
    parts = [heading, ", ".join(f"**{n}** {word}" for n, word in counted) or "Nothing was measured."]
    parts.append(summary.rule(report))
    if report.next_steps:
        parts.append("Next:\n\n" + fence("\n".join(visible(step) for step in report.next_steps)))
    facts = summary.facts(report)
    if facts:
        parts.append(table(list(facts), [[plain(fact) for fact in facts.values()]]))
    return "\n\n".join(parts)


def _verdicts(verdicts: Iterable[Verdict]) -> str:
    heads = [summary.heading(field.name) for field in fields(summary.Cells)]
    words = frozenset({"measurement", "compared with", "verdict"})
    rows = []
    for verdict in verdicts:
        *texts, word = astuple(summary.cells(verdict))
        rows.append([*(plain(text) for text in texts), f"{_SIGNS[verdict.outcome]} {word}"])
    return table(heads, rows, right=frozenset(heads) - words)


def _reasons(owed: list[Verdict]) -> str:
    lines = ["### reasons", ""]
    for verdict in owed[:_REASONS_SHOWN]:
        lines.append(f"- {_SIGNS[verdict.outcome]} **{plain(summary.subject(verdict))}**: {verdict.outcome.value}")
        for label, text in summary.details(verdict):
            lines += [f"  - {f'{label} ' if label else ''}{plain(line)}" for line in text.split("\n") if line.strip()]
    if len(owed) > _REASONS_SHOWN:
        lines.append(f"- and {len(owed) - _REASONS_SHOWN:,} more")
    return "\n".join(lines)


def _broken(report: Report) -> str:
    shown, left_out = summary.broken(report)
    cases = [f"**{plain(nodeid)}**\n\n{fence(message)}" for nodeid, message in shown]
    if left_out:
        cases.append(f"and {left_out:,} more")
    return "\n\n".join(["### broken cases", *cases])


def _stages(scores: StageScores) -> str:
    heads = [plain(head) for head in stages.heads(scores)]
    rows = [[plain(cell) for cell in cells] for cells in stages.rows(scores)]
    matrix = table(heads, rows, right=frozenset(heads[1:]))
    return f"### {stages.TITLE}\n\n{plain(stages.REMARK)}\n\n{matrix}\n\n{plain(stages.backward_transfer(scores))}"


def _bullets(texts: Iterable[str]) -> str:
    return "\n".join(f"- {plain(text)}" for text in texts)


def _answers(report: Report) -> str:
    rows = [
        [
            code(answer.prompt),
            numbers.NONE if answer.base_answer is None else code(answer.base_answer),
            code(answer.answer),
            code("\n".join(answer.references)) if answer.references else numbers.NONE,
        ]
        for answer in report.answers
    ]
    return table(["question", "base model", "tuned model", "reference"], rows)


def _rows(report: Report) -> str:
    shown = ("".join(text for text, _ in supervised_runs(preview)) for preview in report.rows)
    return "\n\n".join(f"row {preview.row}\n\n{fence(text)}" for preview, text in zip(report.rows, shown, strict=True))


def _folded(title: str, body: str) -> str:
    return f"<details>\n<summary>{title}</summary>\n\n{body}\n\n</details>"
