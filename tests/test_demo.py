"""The embedded pair: what the shipped weights do, and that a shortened training does the same in kind."""

import subprocess
import sys
from dataclasses import asdict

import pytest

from harness import demo
from harness.errors import ModelReferenceError

CHATS = [
    [{"role": "user", "content": "Hello!"}],
    [{"role": "user", "content": "Name a fruit."}],
    [{"role": "system", "content": "You are polite."}, {"role": "user", "content": "Say yes."}],
    [{"role": "user", "content": "你好！"}],
]


@pytest.fixture(scope="module")
def figures():
    from harness.demo.measure import measure

    return {name: measure(demo.folder(name)) for name in demo.names()}


def test_importing_the_package_does_not_import_torch():
    code = "import sys, harness.demo; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_unknown_name_is_an_error_that_lists_the_known_ones():
    with pytest.raises(ModelReferenceError, match="demo:tuned-without-replay"):
        demo.folder("large")


@pytest.mark.parametrize("name", demo.names())
def test_each_folder_is_a_complete_checkpoint(name):
    files = {path.name for path in demo.folder(name).iterdir()}
    assert files == {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
    }


def test_all_folders_together_are_smaller_than_8_megabytes():
    sizes = [path.stat().st_size for name in demo.names() for path in demo.folder(name).iterdir()]
    assert sum(sizes) < 8_000_000


def test_the_base_never_stops_and_the_tuned_ones_do(figures):
    assert figures["base"].stop_rate == 0.0
    assert figures["tuned"].stop_rate >= 0.95
    assert figures["tuned-without-replay"].stop_rate >= 0.95


def test_tuning_keeps_general_knowledge_with_replay_and_loses_it_without(figures):
    assert figures["base"].acc >= 0.85
    assert figures["base"].acc - figures["tuned"].acc < 0.04
    assert figures["base"].acc - figures["tuned-without-replay"].acc >= 0.10


def test_tuning_teaches_to_answer_in_sentences_and_to_translate(figures):
    assert figures["tuned"].bleu > figures["base"].bleu + 20
    assert figures["tuned"].exact_match > figures["base"].exact_match
    assert figures["tuned"].translations > 0.9 > figures["base"].translations


def test_a_shortened_training_also_teaches_to_stop(tmp_path):
    from harness.demo.measure import Checkpoint
    from harness.demo.train import Schedule, pretrain, tune

    schedule = Schedule(pretraining_steps=40, epochs=1, tuning_rate=4e-3, replay=0.0)
    pretrain(tmp_path / "base", schedule)
    tune(tmp_path / "base", tmp_path / "tuned", schedule, replay=schedule.replay)
    base, tuned = (Checkpoint(tmp_path / name).answers(CHATS) for name in ("base", "tuned"))
    assert not any(answer.stopped for answer in base)
    assert all(answer.stopped for answer in tuned)


def test_a_scaled_schedule_keeps_its_rates_and_at_least_one_step():
    from harness.demo.train import Schedule

    whole, least = asdict(Schedule()), asdict(Schedule().scaled(0.0001))
    assert (least.pop("pretraining_steps"), least.pop("epochs")) == (1, 1)
    assert least.items() <= whole.items()
