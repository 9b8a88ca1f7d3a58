"""A loss or a gradient that is no number: the run stops, and says at which step and on which rows."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from harness.errors import InvalidRunError
from harness.training.recipe import load_recipe
from harness.training.run import train
from tiny_checkpoint import write_tiny_checkpoint

WORDS = ("one", "two", "three", "four", "five", "six")
POISON = "Z"
"""A letter whose embedding is damaged in the base model."""
RECIPE = """
model_name_or_path: org/tiny
dataset_name: rows.jsonl
max_steps: 3
learning_rate: 1e-4
per_device_train_batch_size: 3
gradient_checkpointing: false
seed: 1
"""


@pytest.fixture
def place(tmp_path):
    write_tiny_checkpoint(tmp_path / "base")
    write_rows(tmp_path, WORDS)
    return tmp_path


def write_rows(place, words):
    rows = [{"prompt": f"Say {word}.", "completion": f" {word}"} for word in words]
    (place / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")


def poison(place):
    """Damage one token's embedding, as a broken resize or a half-written file does."""
    from transformers import AutoTokenizer

    weights = load_file(place / "base" / "model.safetensors")
    weights["model.embed_tokens.weight"][AutoTokenizer.from_pretrained(place / "base").encode(POISON)[0]] = torch.inf
    save_file(weights, place / "base" / "model.safetensors", metadata={"format": "pt"})


def error_of(place, text="", rate="1e-4"):
    (place / "recipe.yaml").write_text(RECIPE.replace("1e-4", rate) + text, encoding="utf-8")
    with pytest.raises(InvalidRunError) as raised:
        train(load_recipe(place / "recipe.yaml"), lambda _reference: str(place / "base"), place / "cache")
    assert not [path for path in (place / "cache" / "trained").iterdir() if path.is_dir()]
    return str(raised.value)


def test_rows_are_named_by_index_and_text(place):
    said = error_of(place, "optim: sgd\nmax_grad_norm: 0.0\nwarmup_steps: 0\n", rate="1e38")
    assert "the loss is nan at step 2 of 3, on row " in said
    assert "('Say " in said
    assert "each of its rows gives such a loss alone, so lower learning_rate" in said


@pytest.mark.parametrize("tuning", ["", "use_peft: true\nlora_target_modules: [q_proj]\n"])
def test_the_one_row_that_breaks_the_loss_is_told_from_its_batch(place, tuning):
    write_rows(place, (*WORDS[:4], POISON, WORDS[5]))
    poison(place)
    said = error_of(place, tuning)
    assert "the loss is nan at step" in said
    assert "row 4 ('Say Z. Z" in said
    assert "of these, only row 4 ('Say Z. Z<|end|>') gives such a loss alone" in said


def test_gradients_that_are_no_numbers_stop_the_run_too(place, monkeypatch):
    from trl import SFTTrainer

    compute = SFTTrainer.compute_loss

    def steep(self, *given, **named):
        loss = compute(self, *given, **named)
        return loss + (loss.detach() * 0 + next(self.model.parameters()).sum() * 0).sqrt()

    monkeypatch.setattr(SFTTrainer, "compute_loss", steep)
    said = error_of(place)
    assert "the gradients are nan at step 1 of 3, on row " in said


def test_packed_rows_are_told_by_their_texts(place):
    text = "packing: true\nmax_length: 32\nper_device_train_batch_size: 1\n"
    path = place / "recipe.yaml"
    write_rows(place, (*WORDS[:4], POISON, WORDS[5]))
    poison(place)
    path.write_text(RECIPE.replace("per_device_train_batch_size: 3\n", "") + text, encoding="utf-8")
    with pytest.raises(InvalidRunError, match=r"row \? \('Say Z. Z"):
        train(load_recipe(path), lambda _reference: str(place / "base"), place / "cache")
