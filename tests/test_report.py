"""The report says the same in every format, and nothing that a model wrote can change how it looks."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt  # comes with rich
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from harness.errors import UsageError
from harness.plugin.state import Records
from harness.records import Measurement, Outcome, Report, RowPreview, SampleScore, SideBySide, Verdict
from harness.report import FORMATS, check_suffix, numbers, to_json, to_markdown, write_report
from harness.report.markdown import COMMENT_LIMIT
from harness.report.terminal import print_report
from harness.report.terminal_verdicts import fold

WIDTHS = (80, 100, 120, 160, 240)
NASTY = "[bold]loud[/bold] \x1b[2J \u202eevil \x07 \x9b31m | `tick` ```fence <script>x</script> @someone"
RAW = ("\x1b", "\u202e", "\x07", "\x9b")
SIDE_EFFECTS = re.compile("|".join(map(re.escape, RAW)))

COMPARED = Verdict(
    measurement="general_knowledge/acc",
    metric="acc",
    outcome=Outcome.REGRESSED,
    reference="baseline main",
    value=0.471,
    reference_value=0.512,
    drop=0.041,
    low=0.021,
    high=0.061,
    p=0.003,
    n=200,
    margin=0.02,
    detectable=0.018,
    lost=("gk-1", "gk-2", "gk-3", "gk-4", "gk-5"),
    won=("gk-9",),
    reason="the drop is more than chance",
    suite="forgetting",
)
MEASURED = Measurement(
    name="general_knowledge/acc",
    metric="acc",
    value=1 / 3,
    stderr=0.1 + 0.2,
    n=2,
    signature="acc|v1",
    higher_is_better=True,
    scores={"b": SampleScore((1.0,), "d2"), "a": SampleScore((float("nan"),), "d1", "pair")},
    aggregate=len,
)


def a_report(**parts: object) -> Report:
    report = Report(config={}, environment={}, measurements=(), verdicts=(COMPARED,), fail_on=frozenset({"regressed"}))
    return replace(report, **parts)


def of_every_outcome() -> Report:
    return a_report(verdicts=tuple(replace(COMPARED, outcome=outcome) for outcome in Outcome))


def with_text_everywhere(text: str) -> Report:
    verdict = replace(COMPARED, measurement=text, reference=text, reason=text, origin=text, suite=text, lost=(text,))
    return a_report(
        config={"model": text},
        verdicts=(verdict,),
        broken=((text, text),),
        notes=(text,),
        answers=(SideBySide(text, text, text, (text,)),),
        rows=(RowPreview(0, ((text, False), (text, True))),),
        next_steps=(text,),
    )


def printed(report: Report, width: int = 100, colour: bool = False) -> str:
    stream = io.StringIO()
    print_report(report, Console(file=stream, width=width, color_system="truecolor" if colour else None))
    return stream.getvalue()


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("outcome", Outcome)
def test_the_terminal_names_each_outcome_by_its_whole_word(outcome, width):
    table = printed(a_report(verdicts=(replace(COMPARED, outcome=outcome, reason=""),)), width).split("╭")[0]
    assert outcome.value in table


@pytest.mark.parametrize("width", WIDTHS)
def test_every_number_of_a_row_is_printed_at_every_width(width):
    text = printed(a_report(), width)
    for number in ("0.471", "0.512", "+0.041", "0.021..0.061", "-5 +1", "0.003", "200", "0.020", "0.018"):
        assert number in text


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(
    "name", ["general_knowledge/acc", "问答" * 30 + "/acc", "a" * 150], ids=["usual", "chinese", "long"]
)
def test_no_line_is_wider_than_the_terminal(width, name):
    report = replace(with_text_everywhere(NASTY * 3), next_steps=(), verdicts=(replace(COMPARED, measurement=name),))
    assert max(cell_len(line) for line in printed(report, width).splitlines()) <= width


def test_tables_of_different_suites_have_their_columns_at_the_same_places():
    other = replace(
        COMPARED, suite="quality", measurement="a/bleu", reference="b", drop=-12.5, lost=(), won=("c",) * 100
    )
    headings = [line for line in printed(a_report(verdicts=(COMPARED, other))).splitlines() if "flips" in line]
    assert len(headings) == 2
    assert headings[0] == headings[1]


def test_a_wide_terminal_has_one_line_a_verdict_and_a_narrow_one_two():
    def lines_with_numbers(width: int) -> int:
        return sum("0.512" in line or "0.471" in line for line in printed(a_report(), width).splitlines())

    assert (lines_with_numbers(160), lines_with_numbers(80)) == (1, 2)


def test_suites_of_the_package_come_first_and_in_their_order():
    suites = ("own", "forgetting", "mask", "template")
    text = printed(a_report(verdicts=tuple(replace(COMPARED, suite=suite) for suite in suites)))
    titles = [line.split()[0] for line in text.splitlines() if "1 verdict" in line]
    assert titles == ["template", "mask", "forgetting", "own"]


def test_a_value_with_no_reference_shows_its_standard_error():
    new = Verdict("a/acc", "acc", Outcome.NEW, "", value=0.4, stderr=0.018, n=80, suite="quality")
    text = printed(a_report(verdicts=(new,)))
    assert "0.400" in text
    assert "± 0.018" in text


def test_reasons_and_the_first_lost_samples_stand_below_the_table():
    text = printed(a_report())
    assert "the drop is more than chance" in text
    assert "gk-1, gk-2, gk-3 and 2 more" in text


def test_a_passing_verdict_owes_no_reason():
    assert "because it is fine" not in printed(
        a_report(verdicts=(replace(COMPARED, outcome=Outcome.UNCHANGED, reason="because it is fine"),))
    )


@pytest.mark.parametrize(
    ("outcome", "fail_on", "passes"),
    [
        (Outcome.REGRESSED, {"regressed"}, False),
        (Outcome.REGRESSED, set(), True),
        (Outcome.NOT_COMPARABLE, {"regressed", "not-comparable"}, False),
        (Outcome.IMPROVED, {"regressed"}, True),
        (Outcome.INVALID, set(), False),
    ],
)
def test_every_format_agrees_on_whether_the_gate_passes(outcome, fail_on, passes):
    report = a_report(verdicts=(replace(COMPARED, outcome=outcome),), fail_on=frozenset(fail_on))
    sentence = "the gate passes" if passes else "the gate fails"
    assert sentence in printed(report)
    assert sentence in to_markdown(report)
    assert json.loads(to_json(report))["gate"]["passes"] is passes


def test_a_broken_invariant_fails_the_gate_without_any_verdict():
    report = a_report(verdicts=(), broken=(("suites/test_mask.py::test_a", "row 3 supervises the prompt"),))
    assert "the gate fails" in printed(report)
    assert "row 3 supervises the prompt" in printed(report)


def test_a_next_step_is_one_line_to_copy_at_any_width():
    command = "pytest suites/ --model " + "x" * 100 + " --baseline main --baseline-update"
    assert command in printed(a_report(next_steps=(command,)), 80)


def test_supervised_text_is_bracketed_and_brackets_of_the_row_itself_are_not_taken_for_ours():
    text = printed(a_report(rows=(RowPreview(0, (("user: hi ⟦", False), ("hello<end>", True))),)))
    assert r"user: hi \u27e6⟦hello<end>⟧" in text


def test_a_long_answer_is_cropped_and_says_by_how_much():
    text = printed(a_report(answers=(SideBySide("q", "x" * 5_000),)), 240)
    assert text.count("x") < 400
    assert "more characters" in text


def test_an_empty_answer_is_said_to_be_empty():
    assert "(empty)" in printed(a_report(answers=(SideBySide("q", " \n"),)))


@pytest.mark.parametrize("width", WIDTHS)
def test_untrusted_text_cannot_act_on_the_terminal(width):
    text = printed(with_text_everywhere(NASTY), width)
    assert not SIDE_EFFECTS.search(text)
    assert r"\x1b" in text
    assert r"\u202e" in text
    assert "[bold]" in text


def test_only_our_own_colours_reach_a_terminal_with_colours():
    escapes = re.findall(r"\x1b(\[[0-9;]*)(.)", printed(with_text_everywhere(NASTY), colour=True))
    assert {kind for _, kind in escapes} == {"m"}


def test_a_stream_without_unicode_gets_escapes_and_no_exception():
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    print_report(with_text_everywhere("常识"), Console(file=stream, width=80))
    stream.flush()
    assert rb"\u5e38" in raw.getvalue()


def test_json_round_trips_every_value():
    report = a_report(config={"model": "demo:tuned", "seed": 3}, measurements=(MEASURED,))
    document = json.loads(to_json(report))
    measurement, verdict = document["measurements"][0], document["verdicts"][0]
    assert measurement["value"] == MEASURED.value
    assert measurement["stderr"] == MEASURED.stderr
    assert measurement["scores"]["b"] == {"values": [1.0], "digest": "d2", "cluster": ""}
    assert document["config"] == {"model": "demo:tuned", "seed": 3}
    assert verdict["outcome"] == "regressed"
    assert verdict["lost"] == list(COMPARED.lost)
    assert {name: verdict[name] for name in ("drop", "low", "high", "p")} == {
        "drop": 0.041,
        "low": 0.021,
        "high": 0.061,
        "p": 0.003,
    }


def test_json_has_no_bare_nan_and_no_bare_infinity():
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    scores = {"a": SampleScore((float("nan"), float("inf"), float("-inf")), "d")}
    text = to_json(a_report(measurements=(replace(MEASURED, value=float("nan"), scores=scores),)))
    measurement = json.loads(text, parse_constant=refuse)["measurements"][0]
    assert measurement["value"] == "NaN"
    assert measurement["scores"]["a"]["values"] == ["NaN", "Infinity", "-Infinity"]


def test_json_does_not_depend_on_the_order_of_mappings():
    one = a_report(config={"b": 1, "a": Path("x")}, fail_on=frozenset({"missing", "regressed"}))
    other = a_report(config={"a": Path("x"), "b": 1}, fail_on=frozenset({"regressed", "missing"}))
    assert to_json(one) == to_json(other)


@given(st.text(alphabet=st.characters()))
def test_json_gives_back_any_text_and_holds_no_raw_escape(text):
    written = to_json(with_text_everywhere(text))
    assert json.loads(written)["notes"] == [text]
    assert not SIDE_EFFECTS.search(written)
    assert json.loads(written.encode())["notes"] == [text]


def test_markdown_begins_with_the_summary():
    lines = to_markdown(a_report()).splitlines()
    assert lines[0] == "## 🔴 pytest-sft: the gate fails"
    assert "**1** 🔴 regressed" in lines[2]


@pytest.mark.parametrize("outcome", Outcome)
def test_markdown_names_each_outcome_in_its_row(outcome):
    rows = [line for line in to_markdown(of_every_outcome()).splitlines() if line.startswith("| general_knowledge")]
    assert len(rows) == len(Outcome)
    assert any(row.endswith(f" {outcome.value} |") for row in rows)


@given(st.one_of(st.text(), st.text(alphabet="|\\`\n\r<>_ab")))
def test_markdown_tables_keep_their_columns_whatever_the_text(text):
    lines = outside_fences(to_markdown(with_text_everywhere(text)))
    tables = [block.strip() for block in "\n".join(lines).split("\n\n") if block.strip().startswith("| ")]
    assert len(tables) == 2 + bool(text)
    for block in tables:
        assert len({line.count("|") for line in block.splitlines()}) == 1


@given(st.one_of(st.text(), st.text(alphabet="|\\`\n<>!_*[](){}#+-=~&;:ab1. ")))
def test_a_markdown_parser_finds_nothing_in_untrusted_text_but_text(text):
    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    inline = [token for token in parser.parse(to_markdown(with_text_everywhere(text))) if token.type == "inline"]
    found = {child.type for token in inline for child in token.children or ()}
    tags = {child.content for token in inline for child in token.children or () if child.type == "html_inline"}
    assert not found & {"link_open", "image", "code_inline", "s_open"}
    assert tags <= {"<code>", "</code>", "<br>"}


def outside_fences(markdown: str) -> list[str]:
    lines, fence = [], ""
    for line in markdown.splitlines():
        ticks = re.match("`{3,}", line)
        if not fence and ticks:
            fence = ticks[0]
        elif fence and line == fence:
            fence = ""
        elif not fence:
            lines.append(line)
    assert not fence
    return lines


def test_untrusted_text_means_nothing_in_markdown():
    markdown = to_markdown(with_text_everywhere(NASTY))
    assert not SIDE_EFFECTS.search(markdown)
    shown = "\n".join(outside_fences(markdown))
    for meaning in ("<script>", "@someone", "`tick`", "```"):
        assert meaning not in shown


def test_markdown_fits_into_a_comment_and_names_what_it_left_out():
    answers = tuple(SideBySide("q" * 500, "a" * 5_000, "b" * 5_000) for _ in range(100))
    markdown = to_markdown(a_report(answers=answers))
    assert len(markdown) <= COMMENT_LIMIT
    assert "Left out, to fit into a comment: answers." in markdown


@pytest.mark.parametrize(
    ("number", "metric", "text"),
    [
        (0.5, "acc", "0.500"),
        (31.234, "bleu", "31.23"),
        (1.23456, "bits_per_byte", "1.2346"),
        (4e-7, "mean_kl", "4e-07"),
        (-4e-17, "acc", "0.000"),
        (12_345_678.0, "perplexity", "1.23e+07"),
        (float("nan"), "acc", "nan"),
        (None, "acc", "–"),
    ],
)
def test_a_value_is_shown_at_the_scale_of_its_metric(number, metric, text):
    assert numbers.value(number, metric) == text


def test_a_drop_has_a_sign_unless_there_is_none():
    assert [numbers.drop(number, "acc") for number in (0.04, -0.04, 0.0)] == ["+0.040", "-0.040", "0.000"]


def test_a_small_p_is_never_zero():
    assert [numbers.p_value(p) for p in (0.0, 0.0009, 0.003, 1.0, None)] == ["<0.001", "<0.001", "0.003", "1.000", "–"]


@given(st.text(min_size=1), st.integers(2, 40))
def test_folding_loses_nothing_but_blanks_and_keeps_to_its_room(name, room):
    name = "".join(name.split()).replace("\x1c", "")
    folded = fold(Text(name), room).plain
    assert folded.replace("\n", "") == Text(name).plain
    assert all(cell_len(line) <= room for line in folded.split("\n"))


def test_a_name_is_folded_after_its_slash_where_that_fits():
    assert fold(Text("  general_knowledge/acc_norm"), 22).plain == "  general_knowledge/\n  acc_norm"


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_report_is_written_in_the_format_of_its_suffix(tmp_path, suffix):
    path = tmp_path / "new" / f"report{suffix.upper()}"
    write_report(a_report(), path)
    assert path.read_text(encoding="utf-8") == FORMATS[suffix](a_report())
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("name", ["report.txt", "report", "report.html"])
def test_an_unknown_suffix_is_refused_with_the_known_ones(tmp_path, name):
    with pytest.raises(UsageError, match=r"\.json or \.md"):
        check_suffix(tmp_path / name)
    with pytest.raises(UsageError):
        write_report(a_report(), tmp_path / name)
    assert os.listdir(tmp_path) == []


def test_html_is_announced_for_later():
    with pytest.raises(UsageError, match="later release"):
        check_suffix(Path("report.html"))


@pytest.mark.parametrize("failing", ["os.replace", "pathlib.Path.write_text"])
def test_a_failed_write_leaves_the_old_report_and_nothing_else(tmp_path, monkeypatch, failing):
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "report.json"
    path.write_text("the old one")
    monkeypatch.setattr(failing, full)
    with pytest.raises(UsageError, match="No space left on device"):
        write_report(a_report(), path)
    assert path.read_text() == "the old one"
    assert os.listdir(tmp_path) == [path.name]


def test_a_folder_in_the_way_is_a_usage_error(tmp_path):
    (tmp_path / "report.md").mkdir()
    with pytest.raises(UsageError, match="cannot be written"):
        write_report(a_report(), tmp_path / "report.md")
    assert os.listdir(tmp_path) == ["report.md"]


def test_importing_the_report_imports_no_rich():
    code = "import harness.report, sys; sys.exit('rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_what_two_workers_have_judged_alike_is_one_comparison():
    session = Records()
    for said in (COMPARED, COMPARED, replace(COMPARED, outcome=Outcome.INCONCLUSIVE)):
        session.add(Records.unpack(json.loads(json.dumps(Records(verdicts=[said]).pack()))))
    assert [verdict.outcome for verdict in session.verdicts] == [COMPARED.outcome, Outcome.INCONCLUSIVE]
