"""``python -m harness train``: what it shows, what it leaves, and its exit status."""

import io
import json
import math
import os
import signal

import pytest
from rich.console import Console

from harness.__main__ import main
from harness.commands.course import BLOCKS, loss_curve, shown_steps
from harness.training.watch import Step
from tiny_checkpoint import write_tiny_checkpoint

RECIPE = """
model_name_or_path: {base}
dataset_name: rows.jsonl
num_train_epochs: 3
learning_rate: 1e-3
warmup_steps: 0.1
per_device_train_batch_size: 1
gradient_checkpointing: false
"""


@pytest.fixture
def recipe(tmp_path):
    base = write_tiny_checkpoint(tmp_path / "base")
    rows = [{"prompt": f"Say {word}.", "completion": f" {word}"} for word in ("one", "two", "three", "four")]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE.format(base=base), encoding="utf-8")
    return path


def run(recipe, folder, *beside):
    return main(["train", str(recipe), "--output", str(folder), "--offline", *beside])


def test_a_recipe_becomes_a_folder_that_is_told_of(recipe, tmp_path, capsys):
    assert run(recipe, tmp_path / "out") == 0
    shown = capsys.readouterr()
    manifest = json.loads((tmp_path / "out" / "training.json").read_text(encoding="utf-8"))
    assert manifest["steps"] == 12
    assert "advice: learning_rate 0.001 is above the 1e-05 to 5e-05" in shown.err
    assert "step 12 of 12  loss" in shown.err
    assert f"trained  {tmp_path / 'out'} from" in shown.out
    assert f"next     pytest suites/ --model {tmp_path / 'out'}" in shown.out
    assert "tokens/s, peak" in shown.out
    assert manifest["advice"][0].startswith("learning_rate 0.001")


def test_the_same_command_again_tells_it_again(recipe, tmp_path, capsys):
    run(recipe, tmp_path / "out")
    first = capsys.readouterr()
    assert run(recipe, tmp_path / "out") == 0
    again = capsys.readouterr()
    assert again.out == first.out
    assert "step" not in again.err


@pytest.mark.parametrize(
    ("change", "status", "sentence"),
    [
        (("learning_rate: 1e-3", "learning_rte: 1e-3"), 2, "unknown key 'learning_rte'"),
        (("rows.jsonl", "absent.jsonl"), 2, "absent.jsonl: neither beside"),
        (("learning_rate: 1e-3", "learning_rate: 1e38\noptim: sgd\nmax_grad_norm: 0.0"), 1, "the loss is nan at step"),
    ],
)
def test_a_mistake_is_one_sentence_and_a_status(recipe, tmp_path, capsys, change, status, sentence):
    recipe.write_text(recipe.read_text(encoding="utf-8").replace(*change), encoding="utf-8")
    assert run(recipe, tmp_path / "out") == status
    shown = capsys.readouterr()
    assert sentence in shown.err
    assert "Traceback" not in shown.err
    assert not (tmp_path / "out").exists()


def test_ctrl_c_says_how_to_go_on(recipe, tmp_path, capsys, monkeypatch):
    from trl import SFTTrainer

    step = SFTTrainer.training_step

    def interrupted(self, *given, **named):
        if self.state.global_step == 5:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, *given, **named)

    with monkeypatch.context() as patch:
        patch.setattr(SFTTrainer, "training_step", interrupted)
        assert run(recipe, tmp_path / "out") == 130
    assert "interrupted; the same command goes on from what was saved last" in capsys.readouterr().err
    assert run(recipe, tmp_path / "out") == 0
    assert "going on with the interrupted run after step 6" in capsys.readouterr().err


def test_on_a_terminal_a_bar_shows_loss_and_speed():
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    with shown_steps(console) as show:
        for done in range(1, 6):
            show(Step(done, 5, 3.0 / done, 1234.0))
    shown = console.file.getvalue()
    assert "5/5" in shown
    assert "loss 0.600" in shown
    assert "1,234 tokens/s" in shown


def test_a_pipe_gets_about_ten_lines():
    console = Console(file=io.StringIO(), width=40)
    with shown_steps(console) as show:
        for done in range(1, 1001):
            show(Step(done, 1000, 1.0, 99.0))
    lines = console.file.getvalue().splitlines()
    assert len(lines) == 11
    assert lines[-1] == "step 1000 of 1000  loss 1.000  99 tokens/s"


def test_a_loss_curve_falls_as_the_losses_do():
    assert loss_curve([8, 7, 6, 5, 4, 3, 2, 1]) == BLOCKS[::-1]
    assert loss_curve([1.0, 1.0]) == BLOCKS[0] * 2
    assert loss_curve([]) == ""
    assert len(loss_curve([math.exp(-step / 50) for step in range(500)])) == 32
