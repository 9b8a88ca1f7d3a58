"""Continual tuning: stages that follow one another, the matrix of their scores, and the case that compares them."""

import json
from io import StringIO
from pathlib import Path

import pytest
import torch
import yaml
from rich.console import Console
from transformers import AutoModelForCausalLM

from harness.__main__ import main
from harness.errors import RecipeError
from harness.gate import stage_scores
from harness.records import Measurement, Report
from harness.report import to_json, to_markdown
from harness.report.terminal import print_report
from harness.training.recipe import load_recipe
from harness.training.stages import check_stages, stages_of
from tiny_checkpoint import write_tiny_checkpoint

COMMON = {
    "num_train_epochs": 3,
    "learning_rate": 1e-3,
    "warmup_steps": 0.1,
    "per_device_train_batch_size": 2,
    "gradient_checkpointing": False,
}
WORDS = {"one": ("red", "green"), "two": ("cat", "dog")}
SUITE = Path(__file__).parent.parent / "suites" / "test_forgetting.py"


@pytest.fixture
def recipe(tmp_path):
    """Write a recipe of two stages, the first with LoRA and the second with full tuning, and return how."""
    base = write_tiny_checkpoint(tmp_path / "base")
    for name, words in WORDS.items():
        rows = [{"prompt": f"Say {word}.", "completion": f" {word}"} for word in words]
        samples = [{"id": f"{name}-{word}", "prompt": f"Say {word}.", "references": [word]} for word in words]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
        (tmp_path / f"{name}_test.jsonl").write_text("\n".join(map(json.dumps, samples)), encoding="utf-8")

    def write(changes=(), **values):
        stages = [{"name": n, "dataset_name": f"{n}.jsonl", "samples": f"{n}_test.jsonl"} for n in WORDS]
        stages[0] |= {"use_peft": True, "lora_r": 4, "lora_target_modules": "all-linear"}
        for number, change in changes:
            stages[number] = {key: value for key, value in {**stages[number], **change}.items() if value is not None}
        path = tmp_path / "stages.yaml"
        whole = {"model_name_or_path": str(base), **COMMON, "stages": stages, **values}
        path.write_text(yaml.safe_dump(whole), encoding="utf-8")
        return path

    return write


def test_a_stage_is_the_recipe_with_its_own_keys(recipe):
    one, two = stages_of(load_recipe(recipe(changes=[(1, {"learning_rate": 5e-4, "metric": "exact_match"})])))
    assert (one.recipe.values["learning_rate"], two.recipe.values["learning_rate"]) == (1e-3, 5e-4)
    assert (one.metric, two.metric) == (None, "exact_match")
    assert one.recipe.values["use_peft"]
    assert "use_peft" not in two.recipe.values
    assert not {"stages", "name", "samples"} & set(two.recipe.values)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ([(1, {"name": None})], "number 2 has no name"),
        ([(1, {"name": "one"})], "two are called 'one'"),
        ([(1, {"samples": None})], "stage 'two': samples is missing"),
        ([(1, {"samples": "nowhere.jsonl"})], "neither beside the recipe nor"),
        ([(1, {"dataset_name": None})], "stage 'two': dataset_name is missing"),
        ([(1, {"model_name_or_path": "demo:base"})], "belongs to the whole recipe"),
        ([(1, {"learning_rat": 1})], r"unknown key 'learning_rat'.*in stage 'two'"),
    ],
)
def test_what_is_wrong_with_a_stage_is_one_sentence(recipe, changes, sentence):
    with pytest.raises(RecipeError, match=sentence):
        check_stages(stages_of(load_recipe(recipe(changes))))


@pytest.mark.parametrize("stages", [[], "one", [{"name": "one"}]])
def test_stages_are_a_list_of_two_or_more(recipe, stages):
    with pytest.raises(RecipeError, match="two stages or more"):
        stages_of(load_recipe(recipe(stages=stages)))


def test_each_stage_goes_on_from_the_whole_model_that_the_one_before_it_left(recipe, tmp_path, capsys):
    path, output = recipe(), tmp_path / "out"
    assert main(["train", str(path), "--output", str(output), "--offline"]) == 0
    assert f"next     pytest suites/ --model {output / '2-two'}" in capsys.readouterr().out
    assert sorted(each.name for each in output.iterdir() if each.is_dir()) == ["1-one", "1-one-merged", "2-two"]
    bases = {name: json.loads((output / name / "training.json").read_text())["base"] for name in ("1-one", "2-two")}
    assert bases == {"1-one": str(tmp_path / "base"), "2-two": str(output / "1-one-merged")}
    start, merged, last = (
        AutoModelForCausalLM.from_pretrained(folder).model.layers[0].self_attn.q_proj.weight
        for folder in (tmp_path / "base", output / "1-one-merged", output / "2-two")
    )
    assert not torch.equal(start, merged)
    assert not torch.equal(merged, last)
    assert (output / "1-one-merged" / "training.json").is_file()


def test_an_interrupted_list_goes_on_where_it_was(recipe, tmp_path, monkeypatch):
    path, output = recipe(), tmp_path / "out"
    from harness.training import run

    real, trained = run.trainer_of, []

    def counting(parts):
        trained.append(parts.rows[0]["prompt"])
        if len(trained) == 2:
            raise KeyboardInterrupt
        return real(parts)

    monkeypatch.setattr(run, "trainer_of", counting)
    command = ["train", str(path), "--output", str(output), "--offline"]
    assert main(command) == 130
    assert main(command) == 0
    assert trained == ["Say red.", "Say cat.", "Say cat."]


def measurement(value, metric="acc", higher_is_better=True):
    return Measurement("x", metric, value, 0.1, 10, "", higher_is_better, {})


def matrix(*rows, **settings):
    return [[measurement(value, **settings) for value in row] for row in rows]


def test_backward_transfer_and_forgetting_are_those_of_the_papers():
    scores = stage_scores(
        "base", ["a", "b", "c"], matrix((0.1, 0.1, 0.1), (0.9, 0.2, 0.1), (0.95, 0.8, 0.3), (0.5, 0.9, 0.7))
    )
    assert scores.backward_transfer == pytest.approx(((0.5 - 0.9) + (0.9 - 0.8)) / 2)
    assert scores.forgetting == pytest.approx((0.95 - 0.5, 0.8 - 0.9))
    assert scores.models == ("base", "a", "b", "c")
    assert scores.tasks == ("a/acc", "b/acc", "c/acc")


def test_where_less_is_better_more_is_forgotten():
    rows = matrix((9.0, 9.0), (2.0, 8.0), (3.0, 2.0), metric="perplexity", higher_is_better=False)
    scores = stage_scores("base", ["a", "b"], rows)
    assert scores.backward_transfer == pytest.approx(-1.0)
    assert scores.forgetting == pytest.approx((1.0,))


def test_different_metrics_have_no_mean():
    rows = [[measurement(value), measurement(value, "chrf")] for value in (0.1, 0.9, 0.5)]
    assert stage_scores("base", ["a", "b"], rows).backward_transfer is None


def test_every_format_shows_the_matrix():
    scores = stage_scores("base", ["a|x", "b"], matrix((0.1, 0.1), (0.9, 0.2), (0.5, 0.8)))
    report = Report({}, {}, (), (), stages=scores)
    text = StringIO()
    print_report(report, Console(file=text, width=100))
    shown = [" ".join(line.split()) for line in text.getvalue().splitlines()]
    assert {"a|x 0.900 * 0.200", "b 0.500 0.800 *", "forgotten +0.400 –"} <= set(shown)
    assert any(line.startswith("backward transfer -0.400") for line in shown)
    shown = to_markdown(report)
    assert "| a&#124;x | 0.900 \\* | 0.200 |" in shown
    assert "backward transfer -0.400" in shown
    assert json.loads(to_json(report))["stages"]["values"] == [[0.1, 0.1], [0.9, 0.2], [0.5, 0.8]]


def test_a_recipe_with_stages_is_trained_and_each_pair_of_stages_is_gated(recipe, pytester, tmp_path):
    pytester.makeconftest('pytest_plugins = ["harness.plugin"]')
    pytester.makeini("[pytest]\naddopts = -p no:cacheprovider")
    suite = pytester.path / "suites" / "test_forgetting.py"
    suite.parent.mkdir()
    case = SUITE.read_text(encoding="utf-8").split("\n\n\n")
    suite.write_text("\n\n\n".join([case[0], case[-1]]), encoding="utf-8")
    path, report = recipe(changes=[(0, {"metric": "rouge1"})]), pytester.path / "report.json"
    result = pytester.runpytest_subprocess(
        "suites", "--recipe", str(path), "--offline", "--cache-dir", str(tmp_path / "cache"), "--report", str(report)
    )
    assert result.ret == 0
    said = json.loads(report.read_text(encoding="utf-8"))
    assert [each["measurement"] for each in said["verdicts"]] == ["one after two/rouge1"]
    assert said["verdicts"][0]["reference"] == "stage one"
    assert said["stages"]["models"][1:] == ["one", "two"]
    assert [len(row) for row in said["stages"]["values"]] == [2, 2, 2]


def test_without_stages_the_case_is_skipped_and_adjusts_no_p_value(pytester):
    pytester.makeconftest('pytest_plugins = ["harness.plugin"]')
    suite = pytester.path / "suites" / "test_forgetting.py"
    suite.parent.mkdir()
    suite.write_text(
        "import pytest\nfrom harness.plugin.state import PROCESS\n\n"
        "def test_stages(stage_pair, gate): pass\n\n"
        "def test_other(gate, pytestconfig): assert pytestconfig.stash[PROCESS].comparisons == 1\n",
        encoding="utf-8",
    )
    result = pytester.runpytest_subprocess("suites", "-rs")
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines(["*no stages to compare*"])
