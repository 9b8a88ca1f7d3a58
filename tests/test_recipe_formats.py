"""A recipe that asks for a chat format by name: what is trained and saved, and the sentence where it cannot be."""

import json
import shutil

import pytest
from transformers import AutoTokenizer, GenerationConfig, PreTrainedTokenizerFast

from harness.chat.formats import FORMATS, load
from harness.errors import RecipeError
from harness.inspection import checks
from harness.inspection.matching import inspect_batches
from harness.training.data import training_rows_of
from harness.training.recipe import load_recipe
from harness.training.run import train
from harness.training.trainer import build_trainer
from tiny_checkpoint import CHATML, write_tiny_checkpoint

RECIPE = """
model_name_or_path: org/tiny
dataset_name: rows.jsonl
max_steps: 1
per_device_train_batch_size: 2
gradient_checkpointing: false
"""
ROWS = [
    {"instruction": "Say it again.", "input": "one", "output": "one"},
    {"instruction": "Say two.", "input": "", "output": "two"},
    {"instruction": "Say three.", "output": "three"},
]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return write_tiny_checkpoint(tmp_path_factory.mktemp("tiny") / "base", template=None)


@pytest.fixture
def place(tmp_path):
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, ROWS)), encoding="utf-8")
    return tmp_path


def recipe_of(place, text):
    path = place / "recipe.yaml"
    path.write_text(RECIPE + text, encoding="utf-8")
    return load_recipe(path)


def trainer_with(place, checkpoint, text):
    return build_trainer(recipe_of(place, text), lambda reference: str(checkpoint), place)


@pytest.mark.parametrize("name", sorted(set(FORMATS) - {"llama3"}))
def test_rows_are_trained_in_the_format_that_the_recipe_names(place, checkpoint, name):
    recipe = recipe_of(place, f"chat_template_path: {name}\n")
    trainer = build_trainer(recipe, lambda reference: str(checkpoint), place)
    seen = inspect_batches(trainer, training_rows_of(recipe))
    assert {case: found for case, check in checks.BATCHES.items() if (found := check(seen))} == {}
    assert trainer.processing_class.chat_template == load(name, AutoTokenizer.from_pretrained(checkpoint))
    first = trainer.processing_class.decode(trainer.train_dataset[0]["input_ids"])
    assert ("### Input:\none\n" in first) == (name == "alpaca")


def test_what_is_trained_is_saved_and_stops_where_the_format_ends_an_answer(place, checkpoint):
    recipe = recipe_of(place, "chat_template_path: chatml\n")
    result = train(recipe, lambda reference: str(checkpoint), place / "cache")
    saved = AutoTokenizer.from_pretrained(result.folder)
    assert saved.chat_template == load("chatml", saved)
    assert saved.eos_token == "<|im_end|>"
    assert saved.eos_token_id in GenerationConfig.from_pretrained(result.folder).eos_token_id


def test_an_eos_token_that_the_recipe_names_ends_the_answers(place, checkpoint):
    trainer = trainer_with(place, checkpoint, "chat_template_path: plain\neos_token: <|im_end|>\n")
    ends = trainer.processing_class.convert_tokens_to_ids("<|im_end|>")
    assert all(ends in row["labels"] for row in trainer.train_dataset)


def test_another_format_is_trained_anew(place, checkpoint):
    folders = set()
    for name in ("chatml", "plain", "chatml"):
        recipe = recipe_of(place, f"chat_template_path: {name}\n")
        folders.add(train(recipe, lambda reference: str(checkpoint), place / "cache").folder)
    assert len(folders) == 2


@pytest.mark.parametrize("kind", ["file", "model"])
def test_a_template_beside_the_recipe_wins_over_the_name(place, checkpoint, kind):
    if kind == "file":
        (place / "own.jinja").write_text(CHATML)
    else:
        shutil.copytree(checkpoint, place / "chatml")
        (place / "chatml" / "chat_template.jinja").write_text(CHATML)
    asked = "own.jinja" if kind == "file" else "chatml"
    assert trainer_with(place, checkpoint, f"chat_template_path: {asked}\n").processing_class.chat_template == CHATML


def test_a_folder_of_rows_does_not_take_the_place_of_the_format(place, checkpoint):
    (place / "alpaca").mkdir()
    shutil.move(place / "rows.jsonl", place / "alpaca" / "train.jsonl")
    text = RECIPE.replace("rows.jsonl", "alpaca") + "chat_template_path: alpaca\n"
    (place / "recipe.yaml").write_text(text)
    trainer = build_trainer(load_recipe(place / "recipe.yaml"), lambda reference: str(checkpoint), place)
    assert "### Response:" in trainer.processing_class.chat_template


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ("chatlm", r"'chatlm' is no file, no folder and no format \(alpaca, .*plain\); the nearest is 'chatml'"),
        ("vicuna-x", r"'vicuna-x' is no file, no folder and no format \(alpaca, .*\); name one of these, or a .jinja"),
        ("./own.jinja", "own.jinja is neither beside the recipe nor in the working directory"),
        ("rows.jsonl", "rows.jsonl must be called .jinja or .j2"),
        ("llama3", r"the chat format 'llama3' writes <\|start_header_id\|>, .* take a format that needs none"),
    ],
)
def test_a_template_that_cannot_be_had_is_one_sentence(place, checkpoint, asked, sentence):
    with pytest.raises(RecipeError, match=sentence) as raised:
        trainer_with(place, checkpoint, f"chat_template_path: {asked}\n")
    assert "recipe.yaml: chat_template_path: " in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_base_without_eos_is_refused_where_eos_ends_answers(place, checkpoint, tmp_path_factory):
    base = shutil.copytree(checkpoint, tmp_path_factory.mktemp("bare") / "base")
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(base / "tokenizer.json"))
    tokenizer.save_pretrained(base)
    with pytest.raises(RecipeError, match=r"'plain' ends answers with the eos token, and the tokenizer .* has none"):
        trainer_with(place, base, "chat_template_path: plain\n")
