"""The suites as a user runs them, on copies of the tuned demo model with one thing broken, and on an unbroken copy."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from safetensors.torch import load_file, save_file

from harness import demo

ROOT = Path(__file__).parent.parent

LLAMA2 = (
    "{% for m in messages %}{% if m['role'] == 'assistant' %}{{ ' ' + m['content'] + ' ' + eos_token }}"
    "{% else %}{{ '[INST] ' + m['content'] + ' [/INST]' }}{% endif %}{% endfor %}"
)


def run(folder, suites, *arguments):
    """(Exit status, names of the cases that failed, names of those that passed, output) of one run of pytest."""
    junit = folder / "junit.xml"
    files = [f"suites/test_{suite}.py" for suite in suites]
    always = ["--offline", "--limit", "24", "--baseline-dir", folder / "baselines", "--junitxml", junit]
    # Under CI pytest repeats whole messages in its summary; here each is counted once, wherever this runs.
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "BUILD_NUMBER")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files, *always, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    output = done.stdout + done.stderr
    assert "Traceback" not in output
    assert junit.exists(), output
    cases = {case.get("name"): {child.tag for child in case} for case in ElementTree.parse(junit).iter("testcase")}
    assert not any("error" in tags for tags in cases.values()), output
    failed = {name for name, tags in cases.items() if "failure" in tags}
    return done.returncode, failed, cases.keys() - failed, output


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """A folder with the baseline ``demo``, recorded from the tuned model as it comes."""
    folder = tmp_path_factory.mktemp("faults")
    suites = ["template", "stopping", "quality", "forgetting"]
    status, failed, _, output = run(
        folder, suites, "--model", demo.folder("tuned"), "--baseline", "demo", "--baseline-update"
    )
    assert (status, failed) == (0, set()), output
    assert (folder / "baselines" / "demo" / "baseline.json").is_file()
    return folder


@pytest.fixture
def copy(tmp_path):
    return Path(shutil.copytree(demo.folder("tuned"), tmp_path / "model"))


def test_an_unchanged_copy_passes(recorded, copy):
    suites = ["template", "stopping", "quality", "forgetting"]
    status, failed, passed, output = run(recorded, suites, "--model", copy, "--baseline", "demo")
    assert (status, failed) == (0, set()), output
    assert "test_answers_end_as_often_as_before" in passed
    assert "regressed" not in output.split("A run fails on")[0]


def test_noise_on_the_weights_is_a_regression(recorded, copy):
    weights = load_file(copy / "model.safetensors")
    torch.manual_seed(0)
    noisy = {name: weight + 0.5 * weight.std() * torch.randn_like(weight) for name, weight in weights.items()}
    save_file(noisy, copy / "model.safetensors", metadata={"format": "pt"})
    status, failed, _, output = run(recorded, ["quality", "forgetting"], "--model", copy, "--baseline", "demo")
    assert status == 1
    assert "test_plain_prose_is_still_predicted" in failed
    assert "test_answers_are_near_the_references[quality-chrf]" in failed
    assert "python_prose bits_per_byte regressed: " in output


def test_a_swapped_chat_template_is_found_by_the_baseline(recorded, copy):
    (copy / "chat_template.jinja").write_text(LLAMA2, encoding="utf-8")
    suites = ["template", "stopping"]
    status, failed, _, output = run(
        recorded, suites, "--model", copy, "--baseline", "demo", "--base-model", "demo:base"
    )
    assert status == 1
    assert "test_the_template_is_the_recorded_one" in failed, output
    where = "baseline demo; the conversation 'user', token 0"
    assert f"where     {where}\n  expected  '<|im_start|>user\\n' (ids 1 " in output
    # Neither the baseline nor the base model can be compared with, and the tokens say why.
    why = "(the conversation 'user', token 0: '<|im_start|>user\\n' (ids 1 "
    lines = [
        line for line in output.splitlines() if line.startswith("stopping stop_rate not comparable: ") and why in line
    ]
    assert len(lines) == 2, output


def test_a_tuned_model_with_another_template_than_its_trainer_is_found(recorded, copy):
    trainer = "harness.zoo.parts:sft_trainer"
    status, failed, _, output = run(recorded, ["template"], "--model", copy, "--trainer", trainer)
    assert status == 1
    assert failed == {"test_the_template_is_the_recorded_one"}, output
    assert f"the trainer of {trainer}; the conversation 'user', token 0" in output


def test_a_template_with_a_foreign_terminator_is_found_without_a_baseline(recorded, copy):
    template = (copy / "chat_template.jinja").read_text(encoding="utf-8")
    (copy / "chat_template.jinja").write_text(template.replace("<|im_end|>", "<|eot_id|>"), encoding="utf-8")
    status, failed, _, output = run(recorded, ["template"], "--model", copy)
    assert status == 1
    assert failed == {"test_every_control_string_is_one_token"}, output
    assert "<|eot_id|>" in output


def test_a_terminator_that_does_not_stop_generation_is_found(recorded, copy):
    config = json.loads((copy / "generation_config.json").read_text(encoding="utf-8"))
    config["eos_token_id"] = 0  # the end of a document; a turn ends with another token
    (copy / "generation_config.json").write_text(json.dumps(config), encoding="utf-8")
    status, failed, _, output = run(recorded, ["stopping"], "--model", copy, "--baseline", "demo")
    assert status == 1
    assert "test_generation_stops_where_the_template_ends_a_turn" in failed
    assert "stopping stop_rate regressed: " in output
    assert "<|im_end|>" in output


def test_a_terminator_that_was_never_trained_is_found(recorded, copy):
    shutil.copy(demo.folder("base") / "model.safetensors", copy)  # all but the weights is as it should be
    status, failed, passed, output = run(recorded, ["stopping"], "--model", copy, "--baseline", "demo")
    assert status == 1
    assert failed >= {"test_answers_end_as_often_as_before", "test_most_short_answers_end_before_the_limit"}, output
    assert "test_generation_stops_where_the_template_ends_a_turn" in passed
