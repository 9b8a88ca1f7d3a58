"""Interrupted runs: they go on to the same losses and weights, from whole checkpoints only, whatever stopped them."""

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from harness.errors import InvalidRunError, UsageError
from harness.once import unfinished_of
from harness.training import checkpoints
from harness.training.checkpoints import checkpoints_in, is_whole, mark_whole, newest_whole
from harness.training.recipe import load_recipe
from harness.training.run import train_into
from tiny_checkpoint import write_tiny_checkpoint

WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight")
COMMON = """
model_name_or_path: org/tiny
dataset_name: rows.jsonl
num_train_epochs: 2
learning_rate: 1e-2
per_device_train_batch_size: 2
lr_scheduler_type: cosine
warmup_steps: 2
gradient_checkpointing: false
"""
RUNS = {
    "full": "",
    "full, saved each two steps": "save_strategy: steps\nsave_steps: 2\n",
    "lora with dropout": "use_peft: true\nlora_r: 2\nlora_dropout: 0.3\n",
    "prefix": "peft_type: PREFIX_TUNING\npeft_config: {num_virtual_tokens: 4}\n",
    "parallel network": "peft_type: SHADOW\npeft_config: {r: 4, auxiliary_loss_weight: 0.0}\n",
    "noise": "neftune_noise_alpha: 5\n",
    "packed": "packing: true\nmax_length: 32\nper_device_train_batch_size: 1\n",
    "replayed": "replay_dataset_name: general.jsonl\nreplay_share: 0.3\n",
    "held by EWC": "ewc_lambda: 100\newc_dataset_name: general.jsonl\n",
    "lora held by EWC": "use_peft: true\nlora_r: 2\newc_lambda: 100\newc_dataset_name: general.jsonl\n",
    "accumulated": "gradient_accumulation_steps: 2\nnum_train_epochs: 4\n",
}


class Stopped(Exception):  # noqa: N818 - what stops a run from outside, and no error of it
    pass


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("resume")
    write_tiny_checkpoint(folder / "base")
    rows = [{"prompt": f"Say {word}.", "completion": f" {word}"} for word in WORDS]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    texts = [{"text": f"Count on from {word}: and so on."} for word in WORDS]
    (folder / "general.jsonl").write_text("\n".join(map(json.dumps, texts)), encoding="utf-8")
    return folder


@pytest.fixture
def at_every_step(monkeypatch):
    """As if ten minutes passed with each step."""
    monkeypatch.setattr(checkpoints, "EVERY", 0.0)


def trained(place, folder, text="", progress=None, **beside):
    path = place / "recipe.yaml"
    path.write_text(merged(text), encoding="utf-8")
    return train_into(folder, load_recipe(path), lambda _reference: str(place / "base"), progress, **beside)


def merged(text):
    """The common keys, those of ``text`` instead of them where both have one."""
    own = {line.partition(":")[0] for line in text.splitlines()}
    return "\n".join(line for line in COMMON.splitlines() if line.partition(":")[0] not in own) + "\n" + text


def stop_after(steps):
    def progress(step):
        if step.done == steps:
            raise Stopped

    return progress


def weights(folder):
    return load_file(next(folder.glob("*model.safetensors")))


def assert_same(one, other):
    assert one.manifest["losses"] == other.manifest["losses"]
    mine, its = weights(one.folder), weights(other.folder)
    assert mine.keys() == its.keys()
    assert all(torch.equal(mine[name], its[name]) for name in mine)


@pytest.mark.parametrize("run", RUNS)
def test_an_interrupted_run_goes_on_to_the_same_losses_and_weights(place, tmp_path, run, at_every_step):
    whole = trained(place, tmp_path / "whole", RUNS[run])
    stopped_at = whole.manifest["steps"] // 2 + 1
    with pytest.raises(Stopped):
        trained(place, tmp_path / "parts", RUNS[run], stop_after(stopped_at))
    assert not (tmp_path / "parts").exists()
    heard, told = [], []
    again = trained(place, tmp_path / "parts", RUNS[run], lambda step: heard.append(step.done), tell=told.append)
    assert min(heard) > 1
    assert told[-1] == f"going on with the interrupted run after step {min(heard) - 1}"
    assert_same(whole, again)
    left = checkpoints_in(again.folder)
    assert bool(left) == ("save_strategy" in RUNS[run])  # what the recipe asked for stays, what the run needed goes


KILLED = """
import os, signal, sys
from pathlib import Path
from harness.training import checkpoints
from harness.training.recipe import load_recipe
from harness.training.run import train_into

checkpoints.EVERY = 0.0
place, folder = map(Path, sys.argv[1:])

def kill(step):
    if step.done == 4:
        os.kill(os.getpid(), signal.SIGKILL)

train_into(folder, load_recipe(place / "recipe.yaml"), lambda _reference: str(place / "base"), kill)
"""


def test_a_killed_run_goes_on(place, tmp_path, at_every_step):
    whole = trained(place, tmp_path / "whole")
    command = [sys.executable, "-c", KILLED, str(place), str(tmp_path / "killed")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (tmp_path / "killed").exists()
    heard = []
    again = trained(place, tmp_path / "killed", progress=lambda step: heard.append(step.done))
    assert heard[0] == 4  # the fourth step was done and not yet saved
    assert_same(whole, again)


def test_a_kill_in_the_middle_of_a_save_costs_only_that_checkpoint(place, tmp_path, at_every_step):
    whole = trained(place, tmp_path / "whole")
    with pytest.raises(Stopped):
        trained(place, tmp_path / "parts", "save_strategy: steps\nsave_steps: 1\n", stop_after(5))
    unfinished = unfinished_of(tmp_path / "parts")
    newest, older, *_ = checkpoints_in(unfinished)
    model = newest / "model.safetensors"
    model.write_bytes(model.read_bytes()[:-7])
    assert [is_whole(newest), is_whole(older)] == [False, True]
    heard = []
    again = trained(
        place, tmp_path / "parts", "save_strategy: steps\nsave_steps: 1\n", lambda step: heard.append(step.done)
    )
    assert heard[0] == 4
    assert_same(whole, again)


def test_without_a_marker_or_with_a_missing_file_a_checkpoint_is_not_whole(tmp_path):
    for step in (1, 2, 3):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "weights").write_text("1")
    mark_whole(tmp_path / "checkpoint-1", 0.0)
    mark_whole(tmp_path / "checkpoint-2", 0.0)
    (tmp_path / "checkpoint-2" / "weights").unlink()
    assert newest_whole(tmp_path) == tmp_path / "checkpoint-1"
    assert [path.name for path in checkpoints_in(tmp_path)] == ["checkpoint-1"]


def test_a_full_disk_is_one_sentence_and_the_run_goes_on_from_before(place, tmp_path, at_every_step, monkeypatch):
    whole = trained(place, tmp_path / "whole")
    from trl import SFTTrainer

    save = SFTTrainer._save_optimizer_and_scheduler

    def full_disk(self, folder):
        if folder.endswith("checkpoint-4"):
            Path(folder, "optimizer.pt").write_bytes(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save(self, folder)

    with monkeypatch.context() as patch:
        patch.setattr(SFTTrainer, "_save_optimizer_and_scheduler", full_disk)
        with pytest.raises(UsageError, match=r"No space left on device.*: make room.*then goes on after step 3"):
            trained(place, tmp_path / "full")
    heard = []
    assert_same(whole, trained(place, tmp_path / "full", progress=lambda step: heard.append(step.done)))
    assert heard[0] == 4


def test_ctrl_c_lets_the_step_end_and_saves_it(place, tmp_path):
    whole = trained(place, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        trained(
            place,
            tmp_path / "parts",
            progress=lambda step: os.kill(os.getpid(), signal.SIGINT) if step.done == 3 else None,
        )
    assert [path.name for path in checkpoints_in(unfinished_of(tmp_path / "parts"))] == ["checkpoint-4"]
    assert_same(whole, trained(place, tmp_path / "parts"))


def test_ctrl_c_ends_a_run_at_once_that_could_not_go_on(place, tmp_path):
    heard = []

    def progress(step):
        heard.append(step.done)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        trained(place, tmp_path / "out", "save_only_model: true\n", progress)
    assert heard == [1]
    assert not unfinished_of(tmp_path / "out").exists()


def test_an_interrupted_run_of_other_inputs_is_not_overwritten(place, tmp_path, at_every_step):
    with pytest.raises(Stopped):
        trained(place, tmp_path / "out", progress=stop_after(3))
    with pytest.raises(UsageError, match=r"out.unfinished: an interrupted run of another recipe is kept here"):
        trained(place, tmp_path / "out", "seed: 7\n")
    trained(place, tmp_path / "out")
    with pytest.raises(UsageError, match="out: a model from another recipe is there already"):
        trained(place, tmp_path / "out", "seed: 7\n")


def test_a_folder_of_something_else_is_left_alone(place, tmp_path):
    for name in ("out", "out.unfinished"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "thesis.tex").touch()
    with pytest.raises(UsageError, match="out: something else is there already"):
        trained(place, tmp_path / "out")
    (tmp_path / "out" / "thesis.tex").unlink()
    with pytest.raises(UsageError, match=r"out.unfinished: this is not of an interrupted run"):
        trained(place, tmp_path / "out")
    assert (tmp_path / "out.unfinished" / "thesis.tex").is_file()


def test_a_finished_run_is_not_run_again(place, tmp_path):
    (tmp_path / "out").mkdir()
    first = trained(place, tmp_path / "out")
    again = trained(place, tmp_path / "out", progress=lambda _step: pytest.fail("trained again"))
    assert again == first


def test_a_run_whose_loss_is_no_number_leaves_nothing_to_go_on_from(place, tmp_path, at_every_step):
    text = "learning_rate: 1e38\noptim: sgd\nmax_grad_norm: 0.0\nwarmup_steps: 0\n"
    with pytest.raises(InvalidRunError, match="the loss is nan at step 2"):
        trained(place, tmp_path / "out", text)
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []


def test_prefixes_from_a_network_start_again(place, tmp_path, at_every_step):
    text = (
        "peft_type: PREFIX_TUNING\n"
        "peft_config: {num_virtual_tokens: 4, prefix_projection: true, encoder_hidden_size: 8}\n"
    )
    with pytest.raises(Stopped):
        trained(place, tmp_path / "out", text, stop_after(5))
    heard = []
    trained(place, tmp_path / "out", text, lambda step: heard.append(step.done))
    assert heard[0] == 1
