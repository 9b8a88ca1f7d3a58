"""Replay counted in tokens, EWC by its formula, and recipes that ask for either."""

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from datasets import Dataset

from harness.commands.course import told
from harness.errors import DataError, RecipeError
from harness.inspection.matching import inspect_batches
from harness.models.fetch import Access, checkpoint_folder
from harness.references import parse_reference
from harness.training.ewc import ElasticWeights, row_loss
from harness.training.recipe import load_recipe
from harness.training.remedies import EWC_FILE
from harness.training.replay import GENERAL, TASK, mix, mixed_rows
from harness.training.run import train
from harness.training.trainer import build_trainer
from harness.zoo.parts import MARKED, ROWS, sft_trainer

RECIPES = Path(__file__).parent.parent / "recipes"


def rows_of(*lengths):
    return Dataset.from_list(
        [{"input_ids": [n] * length, "labels": [-100] + [n] * (length - 1)} for n, length in enumerate(lengths)]
    )


def resolve(text):
    return str(checkpoint_folder(parse_reference(text), Access(Path(tempfile.gettempdir()), offline=True)))


def recipe_with(**values):
    recipe = load_recipe(RECIPES / "demo-domain.yaml")
    return replace(recipe, values={**recipe.values, "num_train_epochs": 1, "save_strategy": "no"} | values)


GENERAL_ROWS = "data/demo_general.jsonl"


@pytest.mark.parametrize("share", [0.05, 0.1, 0.5])
@pytest.mark.parametrize("epochs", [1, 2.5])
def test_the_share_is_one_of_tokens_and_holds_at_every_point(share, epochs):
    task, general = rows_of(*[10] * 100), rows_of(*range(20, 60))
    mixture = mix(task, general, share=share, epochs=epochs, seed=3)
    assert mixture.share == pytest.approx(share, abs=0.02)
    assert mixture.tokens[TASK] == 100 * 10 * epochs
    lengths = {TASK: [10] * 100, GENERAL: list(range(20, 60))}
    seen = {TASK: 0, GENERAL: 0}
    for source, row in mixture.order:
        seen[source] += lengths[source][row]
        one_row = 60 / mixture.tokens[GENERAL]
        assert seen[GENERAL] / mixture.tokens[GENERAL] == pytest.approx(seen[TASK] / mixture.tokens[TASK], abs=one_row)
    assert mixture.supervised[TASK] == 100 * 9 * epochs


def test_no_general_row_comes_again_before_all_have_come():
    mixture = mix(rows_of(*[10] * 60), rows_of(*[10] * 4), share=0.2, epochs=1, seed=0)
    general = [row for source, row in mixture.order if source == GENERAL]
    assert sorted(general[:4]) == sorted(general[4:8]) == [0, 1, 2, 3]
    assert mixture.repeated == len(general) - 4
    assert mix(rows_of(10), rows_of(10), share=0.1, epochs=1, seed=0).order == ((TASK, 0),)


def test_the_order_depends_on_the_seed_alone():
    task, general = rows_of(*[10] * 30), rows_of(*[12] * 30)
    orders = [mix(task, general, share=0.3, epochs=2, seed=seed).order for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]
    mixture = mix(task, general, share=0.3, epochs=1, seed=1)
    mixed = mixed_rows(task, general, mixture)
    assert mixed["source"] == [source for source, _ in mixture.order]
    assert len(mixed) == len(mixture.order)


def test_a_recipe_mixes_chats_with_text_and_every_row_is_still_known(tmp_path):
    recipe = recipe_with(replay_dataset_name=GENERAL_ROWS, replay_share=0.1)
    trainer = build_trainer(recipe, resolve, tmp_path)
    assert trainer.mixture.share == pytest.approx(0.1, abs=0.005)
    seen = inspect_batches(trainer, trainer.source_rows)
    assert {match.likeness for match in seen.matches} == {"whole"}
    assert {type(seen.source_of(match)).__name__ for match in seen.matches} == {"Conversation", "PlainText"}


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"replay_share": 0.1}, "replay_dataset_name is missing"),
        ({"replay_dataset_name": GENERAL_ROWS}, "replay_share is missing"),
        ({"replay_dataset_name": GENERAL_ROWS, "replay_share": 1.0}, "1 is no share"),
        ({"replay_dataset_name": GENERAL_ROWS, "replay_share": 0.1, "max_steps": 3}, "give num_train_epochs"),
        ({"ewc_lambda": 10.0}, "EWC needs rows of what is to be kept"),
        ({"ewc_dataset_name": GENERAL_ROWS}, "ewc_lambda is missing"),
        ({"ewc_lambda": -1.0, "ewc_dataset_name": GENERAL_ROWS}, "holds nothing"),
        ({"ewc_lambda": 1.0, "ewc_dataset_name": GENERAL_ROWS, "ewc_rows": 0}, "no number of rows"),
    ],
)
def test_a_remedy_without_what_it_needs_is_one_sentence(values, sentence, tmp_path):
    with pytest.raises(RecipeError, match=sentence):
        build_trainer(recipe_with(**values), resolve, tmp_path)


def test_general_rows_that_are_not_there_are_one_sentence(tmp_path):
    recipe = recipe_with(replay_dataset_name="data/nowhere.jsonl", replay_share=0.1)
    with pytest.raises(DataError, match=r"data/nowhere\.jsonl: neither beside"):
        build_trainer(recipe, resolve, tmp_path)


def test_the_fisher_information_is_the_mean_of_squared_gradients_row_by_row():
    trainer = sft_trainer(MARKED, ROWS)
    rows = trainer.train_dataset.to_list()
    found = ElasticWeights.estimate(trainer, rows)
    name, weight = next((name, w) for name, w in trainer.model.named_parameters() if name.endswith("q_proj.weight"))
    by_hand = torch.zeros_like(weight)
    for row in rows:
        (gradient,) = torch.autograd.grad(row_loss(trainer, row), weight)
        by_hand += gradient**2 / len(rows)
    torch.testing.assert_close(found[name], by_hand, rtol=1e-4, atol=1e-12)
    assert all(weight.grad is None for weight in trainer.model.parameters())
    assert trainer.model.training


def test_the_penalty_is_zero_at_the_start_and_its_gradient_is_what_is_added():
    trainer = sft_trainer(MARKED, ROWS)
    elastic = ElasticWeights.before_training(trainer, trainer.train_dataset.to_list(), 50.0)
    model = trainer.model
    assert elastic.penalty(model).item() == 0.0
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.01 * torch.randn_like(weight)
    weights = list(model.parameters())
    expected = torch.autograd.grad(elastic.penalty(model), weights, allow_unused=True)
    for weight in weights:
        weight.grad = torch.zeros_like(weight)
    elastic.on_pre_optimizer_step(model=model)
    for weight, gradient in zip(weights, expected, strict=True):
        torch.testing.assert_close(weight.grad, gradient, rtol=1e-4, atol=1e-9)


def test_what_is_kept_of_it_is_read_again(tmp_path):
    trainer = sft_trainer(MARKED, ROWS)
    elastic = ElasticWeights.before_training(trainer, trainer.train_dataset.to_list(), 50.0)
    elastic.save(tmp_path / "ewc.safetensors")
    again = ElasticWeights.load(tmp_path / "ewc.safetensors")
    assert again.strength == 50.0
    assert all(torch.equal(again.fisher[name], each) for name, each in elastic.fisher.items())
    assert all(torch.equal(again.anchor[name], each) for name, each in elastic.anchor.items())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ewc.safetensors"]


def test_the_manifest_says_what_the_remedies_did(tmp_path):
    recipe = recipe_with(
        replay_dataset_name=GENERAL_ROWS, replay_share=0.1, ewc_lambda=100.0, ewc_dataset_name=GENERAL_ROWS, ewc_rows=4
    )
    trained = train(recipe, resolve, tmp_path)
    manifest = trained.manifest
    assert manifest["replay"]["share"] == pytest.approx(0.1, abs=0.005)
    assert manifest["ewc"]["lambda"] == 100.0
    assert manifest["ewc"]["last_penalty"] > 0
    assert manifest["ewc"]["reference_weights"] == ElasticWeights.load(trained.folder / EWC_FILE).digest
    assert [path.name for path in trained.folder.glob("*.safetensors")] == ["model.safetensors"]
    shown = list(told(trained))
    assert any(line.startswith("replay   ") and "% of the consumed tokens are general" in line for line in shown)
    assert any(line.startswith("ewc      last penalty ") for line in shown)
    assert manifest["rows_dropped"] == 0
