"""The order of the cases: files, likelihoods, answers, trainings; read from what the cases really ask of a model."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from asked_of_models import run_suites
from harness.handover.checks import WEIGHTS
from harness.plugin.ordering import Work

ROOT = Path(__file__).parent.parent

ALLOWED = {
    Work.NOTHING: set(),
    Work.LIKELIHOODS: {"load", "loglikelihood", "token_losses"},
    Work.ANSWERS: {"load", "loglikelihood", "token_losses", "generate"},
    Work.TRAINING: {"load", "loglikelihood", "token_losses", "generate"},
}


def test_a_model_is_asked_nothing_before_the_files_are_seen_and_for_answers_after_its_likelihoods(tmp_path):
    done, cases = run_suites(tmp_path, "suites/", "--limit", "4")
    assert done.returncode == 0, done.stdout[-3000:]
    assert len(cases) > 100
    for each in cases:
        assert set(each["calls"]) <= ALLOWED[each["work"]], each
    assert [each["work"] for each in cases] == sorted(each["work"] for each in cases)
    asked = [call for each in cases for call in each["calls"] if call != "load"]
    first_answer = asked.index("generate")
    assert {"loglikelihood", "token_losses"} <= set(asked[:first_answer])


def test_a_broken_template_stops_the_run_before_weights_are_read(tmp_path):
    broken = shutil.copytree(ROOT / "harness" / "demo" / "weights" / "tuned", tmp_path / "model")
    template = broken / "chat_template.jinja"
    template.write_text(template.read_text(encoding="utf-8").replace("message['role'] + ", ""), encoding="utf-8")
    done, cases = run_suites(tmp_path, "-x", "suites/", "--model", str(broken), "--base-model", "demo:base")
    assert done.returncode == 1
    assert "1 failed" in done.stdout
    assert not any(each["calls"] for each in cases)


def test_the_cases_of_a_delivery_that_load_weights_are_marked(tmp_path):
    listed = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "suites/", "-m", "weights"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    marked = {line.partition("::test_")[2] for line in listed.stdout.splitlines() if "::" in line}
    assert marked == {name.removeprefix("handover/") for name in WEIGHTS}


CASES = """
import pytest

def test_writes(model): ...
def test_answers(model, answerable, questions): ...
def test_scores(model, prose): ...
@pytest.mark.slow
def test_trains(): ...
@pytest.mark.weights
def test_loads(): ...
def test_files(tokenizer): ...
def test_rows(trainer): ...
@pytest.mark.parametrize("name", ["a::b"])
def test_plain(name): ...
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makeconftest('pytest_plugins = ["harness.plugin"]')
    data = pytester.mkdir("data") / "general_knowledge.jsonl"
    question = {"id": "q", "prompt": "Question: which?\nAnswer:", "choices": ["this", "that"], "target": 0}
    data.write_text(json.dumps(question), encoding="utf-8")
    pytester.makepyfile(test_mine=CASES)
    return pytester


def collected(project: pytest.Pytester, *arguments: str) -> list[str]:
    """The names of the cases in their order."""
    lines = project.runpytest_subprocess("--collect-only", "-q", *arguments).outlines
    return [line.partition("::test_")[2].partition("[")[0] for line in lines if "::" in line]


def test_what_a_case_asks_for_tells_its_place_and_unknown_is_expensive(project):
    assert collected(project) == ["files", "rows", "plain", "scores", "loads", "writes", "answers", "trains"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("-p", "no:harness.plugin.ordering"),
        tuple(f"test_mine.py::test_{name}" for name in ("writes", "answers", "scores", "trains", "loads", "files")),
    ],
    ids=["switched off", "named one by one"],
)
def test_the_order_that_the_user_chose_is_kept(project, arguments):
    assert collected(project, *arguments)[:6] == ["writes", "answers", "scores", "trains", "loads", "files"]


def test_what_failed_last_still_comes_first(project):
    project.makepyfile(
        test_mine="def test_files(): ...\n@__import__('pytest').mark.slow\ndef test_trains(): assert 0\n"
    )
    assert project.runpytest_subprocess().ret == 1
    assert collected(project, "--ff") == ["trains", "files"]


@pytest.mark.parametrize(
    ("case", "order"), [("", ["mine", "files"]), ("@pytest.mark.quality", ["files", "mine"])], ids=["a test", "a case"]
)
def test_a_fixture_called_model_is_one_in_a_case_of_a_suite_only(project, case, order):
    project.makepyfile(
        test_mine="import pytest\n@pytest.fixture\ndef model(): return 1\n"
        f"{case}\ndef test_mine(model): ...\ndef test_files(tokenizer): ...\n"
    )
    assert collected(project) == order


BENCHMARK = """
def test_general(model, benchmark_score): ...
def test_lm_eval(model, lm_eval_score): ...
def test_writes(model): ...
"""


def test_a_benchmark_is_scored_or_answered_as_it_says(project):
    for name, kind in (("choosing", "multiple_choice"), ("writing", "generate_until")):
        task = {"task": name, "dataset_path": "json", "output_type": kind, "metric_list": [{"metric": "acc"}]}
        task["metric_list"] = [{"metric": "acc" if kind == "multiple_choice" else "exact_match"}]
        (project.path / f"{name}.yaml").write_text(json.dumps(task), encoding="utf-8")
    project.makepyfile(test_mine=BENCHMARK)
    arguments = ("--benchmarks", "gsm8k,piqa", "--lm-eval-tasks", "writing.yaml,choosing.yaml")
    lines = project.runpytest_subprocess("--collect-only", "-q", *arguments).outlines
    names = [line.partition("[")[2].partition("-")[0].rstrip("]") for line in lines if "::" in line]
    assert set(names[: names.index("choosing") + 1]) == {"piqa", "choosing"}
    assert set(names[names.index("choosing") + 1 :]) == {"gsm8k", "writing", ""}


def test_what_needs_no_training_comes_before_what_looks_at_the_trained_model(project):
    """With a recipe, also the template of the model under test is what the training wrote."""
    rows = project.path / "rows.jsonl"
    rows.write_text('{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\n')
    recipe = project.path / "recipe.yaml"
    recipe.write_text("model_name_or_path: demo:base\ndataset_name: rows.jsonl\n", encoding="utf-8")
    order = ["rows", "plain", "loads", "trains", "files", "scores", "writes", "answers"]
    assert collected(project, "--recipe", str(recipe)) == order
