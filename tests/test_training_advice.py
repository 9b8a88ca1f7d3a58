"""Advice: a value outside what the field recommends is named with the reason, one inside is not, none is refused."""

import json

import pytest

from harness.training.advice import advice
from harness.training.recipe import load_recipe
from harness.training.trainer import gather, trainer_of
from tiny_checkpoint import write_tiny_checkpoint

SOUND = {
    "model_name_or_path": "org/tiny",
    "dataset_name": "rows.jsonl",
    "learning_rate": "2e-5",
    "num_train_epochs": 2,
    "per_device_train_batch_size": 1,
    "warmup_steps": "0.05",
}
ROWS = 20
LORA = {"use_peft": True, "learning_rate": "2e-4"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("advice")
    write_tiny_checkpoint(folder / "base")
    rows = [{"prompt": f"Say {number}.", "completion": f" {number}"} for number in range(ROWS)]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return folder


def advice_on(place, **changes):
    path = place / "recipe.yaml"
    path.write_text(json.dumps(SOUND | changes), encoding="utf-8")  # JSON is YAML
    parts = gather(load_recipe(path), lambda _reference: str(place / "base"), place)
    return advice(parts, trainer_of(parts))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"learning_rate": "1e-5"},
        {"learning_rate": "5e-5"},
        LORA,
        LORA | {"use_dora": True},
        {"peft_type": "IA3", "peft_config": {"target_modules": ["k_proj"], "feedforward_modules": []}}
        | {"learning_rate": "1e-2"},
        {"num_train_epochs": 1},
        {"num_train_epochs": 3, "warmup_steps": 6},
        {"max_steps": ROWS, "warmup_steps": 1},
        {"num_train_epochs": 1, "gradient_accumulation_steps": 10, "warmup_steps": 0},  # 3 % of two steps
    ],
)
def test_what_the_field_recommends_needs_no_advice(place, changes):
    assert advice_on(place, **changes) == []


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"learning_rate": "1e-3"}, "learning_rate 0.001 is above the 1e-05 to 5e-05 that is usual for full tuning: "),
        ({"learning_rate": "1e-6"}, "learning_rate 1e-06 is below the 1e-05 to 5e-05 that is usual for full tuning: "),
        (LORA | {"learning_rate": "2e-5"}, "learning_rate 2e-05 is below the 0.0001 to 0.0005 that is usual for LoRA"),
        ({"num_train_epochs": 10}, "10.0 passes over the rows, where 1 to 3 are usual: "),
        ({"max_steps": 5, "warmup_steps": 0}, "0.25 passes over the rows, where 1 to 3 are usual: "),
        ({"warmup_steps": 0}, "warm-up takes 0 of 40 steps, where 3 to 10 % are usual: the first steps at the full"),
        ({"warmup_steps": "0.5"}, "warm-up takes 20 of 40 steps, where 3 to 10 % are usual: most of the training"),
        (
            {"num_train_epochs": 3, "warmup_steps": 1, "per_device_train_batch_size": 1},
            "warm-up takes 1 of 60 steps",
        ),
    ],
)
def test_what_is_outside_is_named_with_the_reason(place, changes, sentence):
    said = advice_on(place, **changes)
    assert len(said) == 1
    assert said[0].startswith(sentence)


def test_a_share_written_as_steps_is_explained(place):
    said = advice_on(place, num_train_epochs=3, warmup_steps=1)
    assert "warmup_steps 1 counts steps; below 1 it would be a share, as in warmup_steps: 0.05" in said[0]
