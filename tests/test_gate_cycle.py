"""The whole cycle as a user types it: measure, record, pass, regress, accept; with exit status, tables and JUnit."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest

CASE = """
import pytest
from harness.records import Measurement, SampleScore

RIGHT = {right}

@pytest.mark.forgetting
@pytest.mark.parametrize("name", ["history", "music"])
def test_knowledge_is_kept(gate, name):
    scores = {{f"q{{i}}": SampleScore((float(i < RIGHT),), "d") for i in range(200)}}
    value = sum(score.values[0] for score in scores.values()) / 200
    gate(Measurement(f"{{name}}/acc", "acc", value, 0.03, 200, "{signature}", True, scores, problems={problems}))
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeconftest('pytest_plugins = ["harness.plugin"]')
    pytester.makeini("[pytest]\naddopts = -p no:cacheprovider")
    return pytester


def write_suite(
    project: pytest.Pytester, right: int = 150, signature: str = "metric:acc", problems: str = "()"
) -> None:
    suite = project.path / "suites" / "test_forgetting.py"
    suite.parent.mkdir(exist_ok=True)
    suite.write_text(CASE.format(right=right, signature=signature, problems=problems), encoding="utf-8")


def run(project: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return project.runpytest_subprocess("suites", *arguments)


def test_without_a_baseline_everything_is_new_and_the_report_says_what_to_type(project):
    write_suite(project)
    result = run(project)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*new*"])
    result.stdout.fnmatch_lines(["*--baseline main --baseline-update*"])


def test_record_pass_regress_accept(project):
    write_suite(project)
    assert run(project, "--baseline", "main", "--baseline-update").ret == 0
    stored = json.loads((project.path / "baselines/main/baseline.json").read_text(encoding="utf-8"))
    assert sorted(stored) == ["config", "environment", "measurements"]
    assert stored["measurements"]["history/acc"]["value"] == 0.75

    assert run(project, "--baseline", "main").ret == 0

    write_suite(project, right=110)
    worse = run(project, "--baseline", "main")
    assert worse.ret == 1
    worse.stdout.fnmatch_lines(["history acc regressed: 0.750 -> 0.550*", "*flipped*and*more*", "*--baseline-update*"])
    assert "Traceback" not in worse.stdout.str()

    assert run(project, "--baseline", "main", "--baseline-update").ret == 0
    assert run(project, "--baseline", "main").ret == 0


def test_update_new_keeps_what_is_stored(project):
    write_suite(project)
    run(project, "--baseline", "main", "--baseline-update", "-k", "history")
    write_suite(project, right=149)
    run(project, "--baseline", "main", "--baseline-update-new")
    stored = json.loads((project.path / "baselines/main/baseline.json").read_text(encoding="utf-8"))["measurements"]
    assert stored["history/acc"]["value"] == 0.75


def test_a_stored_measurement_that_was_not_made_fails_the_run(project):
    write_suite(project)
    run(project, "--baseline-update")
    suite = project.path / "suites" / "test_forgetting.py"
    suite.write_text(suite.read_text(encoding="utf-8").replace('["history", "music"]', '["history"]'), encoding="utf-8")
    result = run(project, "--baseline", "main", "--junitxml", "junit.xml")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*music/acc is missing*"])
    names = [case.get("name") for case in ElementTree.parse(project.path / "junit.xml").iter("testcase")]
    assert "missing[music/acc]" in names


@pytest.mark.parametrize("workers", [(), ("-n", "1")])
def test_what_is_missing_is_told_under_the_file_that_has_lost_it(project, workers):
    write_suite(project)
    mine = (project.path / "suites" / "test_forgetting.py").rename(project.path / "test_law.py")
    project.runpytest_subprocess("test_law.py", "--baseline-update")
    mine.write_text(mine.read_text(encoding="utf-8").replace('["history", "music"]', '["history"]'), encoding="utf-8")
    result = project.runpytest_subprocess("test_law.py", "--baseline", "main", *workers)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["FAILED test_law.py::missing?music/acc?*"])


def test_a_part_of_a_suite_misses_nothing(project):
    write_suite(project)
    run(project, "--baseline-update")
    assert run(project, "--baseline", "main", "-k", "history").ret == 0
    by_name = project.runpytest_subprocess(
        "suites/test_forgetting.py::test_knowledge_is_kept[history]", "--baseline", "main"
    )
    assert by_name.ret == 0


def test_a_changed_signature_is_not_comparable_and_fails_unless_allowed(project):
    write_suite(project)
    run(project, "--baseline-update")
    write_suite(project, signature="metric:acc|format:chat")
    result = run(project, "--baseline", "main")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*not comparable*signature differs*format*"])
    assert run(project, "--baseline", "main", "--fail-on", "regressed").ret == 0


def test_a_broken_run_is_an_error_and_not_a_failure(project):
    write_suite(project, problems="('all answers are empty',)")
    result = run(project, "--junitxml", "junit.xml")
    assert result.ret == 1
    result.assert_outcomes(errors=2)
    kinds = {child.tag for case in ElementTree.parse(project.path / "junit.xml").iter("testcase") for child in case}
    assert kinds == {"error"}


def test_a_broken_run_leaves_the_baseline_alone(project):
    write_suite(project)
    run(project, "--baseline-update")
    before = (project.path / "baselines/main/baseline.json").read_bytes()
    write_suite(project, right=100, problems="('all answers are empty',)")
    run(project, "--baseline-update")
    assert (project.path / "baselines/main/baseline.json").read_bytes() == before


def test_a_case_may_gate_one_measurement_only(project):
    write_suite(project)
    suite = project.path / "suites" / "test_forgetting.py"
    twice = suite.read_text(encoding="utf-8").replace("    gate(", "    for name in 'ab': gate(")
    suite.write_text(twice, encoding="utf-8")
    result = run(project)
    assert result.ret == 4
    result.stdout.fnmatch_lines(["*gates a second measurement*"])


@pytest.mark.parametrize(
    "more",
    ["    assert name == 'history', 'music has no notes'", "    request.addfinalizer(lambda: 1 / (name != 'music'))"],
)
def test_a_case_that_passes_its_gate_and_breaks_after_it_fails_the_gate(project, more):
    write_suite(project)
    suite = project.path / "suites" / "test_forgetting.py"
    text = suite.read_text(encoding="utf-8").replace("(gate, name)", "(gate, name, request)")
    suite.write_text(f"{text}\n{more}\n", encoding="utf-8")
    result = run(project, "--report", "out.json")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*the gate fails*", "*1*broken case*"])
    assert "the gate passes" not in result.stdout.str()
    verdicts = json.loads((project.path / "out.json").read_text(encoding="utf-8"))["verdicts"]
    assert [verdict["measurement"] for verdict in verdicts] == ["history/acc", "music/acc"]


def test_two_cases_that_measure_different_things_under_one_name_are_told(project):
    write_suite(project)
    suite = project.path / "suites" / "test_forgetting.py"
    text = suite.read_text(encoding="utf-8")
    suite.write_text(text.replace('{name}/acc"', 'all/acc"'), encoding="utf-8")
    assert run(project).ret == 0  # the same numbers twice: nothing is lost

    suite.write_text(text.replace('{name}/acc"', 'all/acc"').replace('"metric:acc"', 'f"set:{name}"'), encoding="utf-8")
    result = run(project, "--baseline-update")
    assert result.ret == 4
    result.stdout.fnmatch_lines(["*music* measures all/acc, which another case has measured*"])
    assert not (project.path / "baselines").exists()


def test_a_lost_measurement_is_accepted_by_an_update(project):
    write_suite(project)
    run(project, "--baseline-update")
    suite = project.path / "suites" / "test_forgetting.py"
    suite.write_text(suite.read_text(encoding="utf-8").replace('["history", "music"]', '["history"]'), encoding="utf-8")
    assert run(project, "--baseline", "main").ret == 1
    assert run(project, "--baseline", "main", "--baseline-update").ret == 0
    assert run(project, "--baseline", "main").ret == 0


def test_a_subset_never_replaces_a_whole_measurement(project):
    write_suite(project)
    run(project, "--baseline-update")
    result = run(project, "--baseline-update", "--limit", "5")
    assert result.ret == 4
    assert "leave --limit out" in result.stderr.str()


def test_a_run_that_is_broken_off_stores_nothing_and_says_so(project):
    write_suite(project)
    suite = project.path / "suites" / "test_forgetting.py"
    broken_off = (
        suite.read_text(encoding="utf-8") + "\n\n@pytest.mark.forgetting\ndef test_z():\n    raise KeyboardInterrupt\n"
    )
    suite.write_text(broken_off, encoding="utf-8")
    result = run(project, "--baseline-update")
    assert result.ret == 2
    result.stdout.fnmatch_lines(["*main was not stored: the run was cut short*"])
    assert not (project.path / "baselines").exists()


def test_cases_without_a_number_are_reported_too(project):
    project.makepyfile(
        test_mask="import pytest\n@pytest.mark.mask\ndef test_a(note):\n    note('supervised: every turn')\n"
    )
    result = project.runpytest_subprocess("test_mask.py", "--report", "out.md")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*supervised: every turn*"])
    assert "supervised" in (project.path / "out.md").read_text(encoding="utf-8")


def test_a_users_mistake_is_said_once(project):
    project.makepyfile(
        test_mask="import pytest\nfrom harness.errors import DataError\n"
        "@pytest.fixture(scope='session')\ndef rows():\n    raise DataError('rows.jsonl:3: no')\n"
        "@pytest.mark.mask\n@pytest.mark.parametrize('n', range(9))\ndef test_a(rows, n):\n    pass\n"
    )
    result = project.runpytest_subprocess("test_mask.py")
    assert result.ret == 4
    result.assert_outcomes(errors=1)
    assert "Traceback" not in result.stdout.str()


def test_two_workers_say_the_same_as_one_process(project):
    write_suite(project)
    run(project, "--baseline-update")
    write_suite(project, right=110)
    alone = run(project, "--baseline", "main", "--report", "alone.json")
    shared = run(project, "--baseline", "main", "--report", "shared.json", "-n", "2")
    assert alone.ret == shared.ret == 1
    one, two = (json.loads((project.path / f"{name}.json").read_text(encoding="utf-8")) for name in ("alone", "shared"))
    assert one["verdicts"] == two["verdicts"]
    assert one["measurements"] == two["measurements"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--baseline", "nothere"], "no baseline 'nothere'"),
        (["--margin", "acc_nrom=0.1"], "did you mean acc_norm"),
        (["--margin", "acc"], "METRIC=VALUE"),
        (["--alpha", "2"], "between 0 and 0.5"),
        (["--fail-on", "regresed"], "is no verdict"),
        (["--report", "out.pdf"], ".json"),
        (["--model", "./nowhere"], "there is no such folder"),
        (["--model", "demo:tunned"], "demo:tuned"),
        (["--model", "http://localhost:1/v1#m"], "not supported yet"),
        (["--recipe", "none.yaml"], "no such file"),
        (["--samples", "none.jsonl"], "cannot be read"),
        (["--limit", "0"], "1 or more"),
        (["--trainer", "module"], "MODULE:FUNCTION"),
        (["--baseline", "a", "--baseline", "b", "--baseline-update"], "keep one --baseline"),
        (["--baseline", "", "--baseline-update"], "empty name"),
        (["--baseline", "../evil", "--baseline-update"], "cannot name a baseline"),
        (["--baseline-update", "--baseline-update-new"], "give one of them"),
        (["--recipe", "conftest.py", "--trainer", "a:b"], "give one of them"),
        (["--report", "suites"], "no suffix"),
        (["--report", "folder.md"], "this is a folder"),
        (["--model", ""], "unset variable"),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_status_4(project, arguments, sentence):
    write_suite(project)
    (project.path / "folder.md").mkdir()
    result = run(project, *arguments)
    assert result.ret == 4
    output = result.stdout.str() + result.stderr.str()
    assert sentence in output
    assert "Traceback" not in output


def test_a_session_that_did_not_ask_for_the_plugin_sees_nothing_of_it(pytester):
    pytester.makepyfile("import sys\ndef test_light():\n    assert 'torch' not in sys.modules")
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=1)
    assert "--base-model" not in pytester.runpytest_subprocess("--help").stdout.str()
