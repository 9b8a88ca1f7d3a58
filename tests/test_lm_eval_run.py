"""The cases of --lm-eval-tasks as a user runs them: what is collected, gated, stored, refused."""

import json

import pytest

from harness.__main__ import main
from harness.errors import UsageError
from harness.lm_eval_tasks.scores import Score
from harness.plugin.fixtures.lm_eval import allowed_drop
from harness.records import Measurement, SampleScore
from lm_eval_logs import CHOICE, write_task

pytest.importorskip("lm_eval")

CASE = """
import pytest

@pytest.mark.forgetting
def test_lm_eval_tasks_are_kept(model, base_model, gate, lm_eval_score, lm_eval_measurement, lm_eval_margin):
    measured = lm_eval_measurement(model, lm_eval_score)
    against = base_model and lm_eval_measurement(base_model, lm_eval_score)
    gate(measured, against=against, margin=lm_eval_margin(measured, against))

@pytest.mark.forgetting
def test_another_case_of_the_suite():
    pass
"""


@pytest.fixture
def project(pytester):
    pytester.makeconftest('pytest_plugins = ["harness.plugin"]')
    pytester.makeini("[pytest]\naddopts = -p no:cacheprovider")
    (pytester.path / "suites").mkdir()
    (pytester.path / "suites" / "test_forgetting.py").write_text(CASE)
    return pytester


def run(project, *arguments):
    return project.runpytest_subprocess("suites", "--offline", *map(str, arguments))


def test_without_a_task_the_case_is_skipped_and_says_what_to_type(project):
    result = run(project, "-rs")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*no task of lm-eval is named (--lm-eval-tasks sciq,mmlu)*"])


def test_each_declared_number_is_a_case_and_what_is_left_out_is_told(project):
    metrics = [{"metric": name} for name in ("acc", "acc_norm", "brier_score")]
    path = write_task(project.path, "capitals", {**CHOICE, "metric_list": metrics})
    result = run(project, "--lm-eval-tasks", path, "--report", "out.json", "-v")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        ["*lm_eval_tasks_are_kept?capitals-acc?*", "*lm_eval_tasks_are_kept?capitals-acc_norm?*"]
    )
    report = json.loads((project.path / "out.json").read_text())
    assert sorted(verdict["measurement"] for verdict in report["verdicts"]) == ["capitals/acc", "capitals/acc_norm"]
    assert any("brier_score" in note and "is not gated" in note for note in report["notes"])


def test_an_imported_baseline_is_met_recorded_over_and_missed(project, capsys):
    """What lm-eval logged of one model, this run of the same one, and then a run that leaves the task out."""
    from harness.models.fetch import Access
    from harness.models.load import LoadOptions, load
    from harness.references import parse_reference
    from lm_eval_logs import logged_by_lm_eval

    path = write_task(project.path, "capitals", CHOICE)
    tuned = load(parse_reference("demo:tuned"), LoadOptions(Access(project.path / "cache", offline=True)))
    logged_by_lm_eval(tuned, [path], project.path / "out")
    place = ["--baseline-dir", str(project.path / "baselines")]
    assert main(["import-lm-eval", str(project.path / "out"), "--baseline", "theirs", *place]) == 0
    capsys.readouterr()

    result = run(project, "--lm-eval-tasks", path, "--baseline", "theirs", "--report", "out.json")
    assert result.ret == 0
    report = json.loads((project.path / "out.json").read_text())
    theirs = [verdict for verdict in report["verdicts"] if verdict["reference"] == "baseline theirs"]
    assert [(verdict["drop"], verdict["lost"], verdict["won"], verdict["n"]) for verdict in theirs] == [
        (0, [], [], 10)
    ] * 2

    without = run(project, "--baseline", "theirs")
    assert without.ret == 1
    without.stdout.fnmatch_lines(["*capitals/acc is missing*"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--lm-eval-tasks", "scqi"], "*lm-eval knows no task, group or tag 'scqi' (near are sciq)*"),
        (["--lm-eval-tasks", "humaneval"], "*runs the code that a model writes*"),
        (["--lm-eval-tasks", ","], "*write names separated by commas*"),
        (["--lm-eval-include", "."], "*name those to run with --lm-eval-tasks*"),
        (["--lm-eval-tasks", "piqa", "--benchmarks", "piqa"], "*piqa is also named by --benchmarks or --samples*"),
        (["--lm-eval-tasks", "sciq", "--margin", "f1=0.1"], "*no margin is known for a metric 'f1'*"),
    ],
)
def test_wrong_usage_ends_before_anything_is_loaded(project, arguments, said):
    result = run(project, *arguments)
    assert result.ret == 4
    result.stderr.fnmatch_lines([said])
    assert "Traceback" not in result.stderr.str() + result.stdout.str()


def measurement(metric, *scores):
    samples = {f"{number}": SampleScore((score,), "d") for number, score in enumerate(scores)}
    return Measurement(f"set/{metric}", metric, sum(scores) / len(scores), 0.1, len(scores), "", True, samples)


@pytest.mark.parametrize(
    ("metric", "aggregation", "scores", "margin"),
    [
        ("acc", "mean", (0, 1), 0.02),
        ("exact_match", "mean", (0, 1), 0.05),
        ("em", "mean", (0, 0.5, 1), 0.02),
        ("rouge_score", "mean", (0, 37.5), 2.0),
        ("word_perplexity", "weighted_perplexity", (40, 60), 2.5),
        ("perplexity", "perplexity", (40, 60), 2.5),
        ("mcc", "matthews_corrcoef", (0, 1), 0.02),
    ],
)
def test_the_margin_fits_the_metric_or_the_scale_of_its_scores(metric, aggregation, scores, margin):
    score = Score(metric, "none", aggregation, True)
    assert allowed_drop(score, measurement(metric, *scores), None) == pytest.approx(margin)


def test_the_base_models_scores_tell_the_scale_too():
    score = Score("rouge_score", "none", "mean", True)
    assert allowed_drop(score, measurement("rouge_score", 0, 0), measurement("rouge_score", 0, 40)) == 2.0


def test_a_scale_that_is_not_known_asks_for_a_margin():
    with pytest.raises(UsageError, match="--margin set/score=VALUE"):
        allowed_drop(Score("score", "none", "mean", True), measurement("score", -3, 400), None)
