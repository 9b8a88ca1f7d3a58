import dataclasses
from pathlib import Path

import pytest
import torch
from transformers import Trainer

from harness.findings import silent
from harness.loop.noise import noise_of, noise_on_embeddings_has_the_papers_scale
from harness.loop.repeatable import evaluation_is_repeatable_and_without_noise
from harness.loop.rounding import weights_have_the_dtype_asked_for
from harness.training.recipe import Recipe
from harness.zoo.parts import ROWS, loop_of, sft_trainer
from harness.zoo.train_gradients import answers_trainer


def told(check, trainer, recipe=None):
    notes = []
    loop = dataclasses.replace(loop_of(trainer, ROWS), recipe=recipe)
    return list(check(loop, notes.append)), notes


def whats(check, trainer, recipe=None):
    return [finding.what for finding in told(check, trainer, recipe)[0]]


def hooked(hook, **options):
    trainer = sft_trainer(**options)
    trainer.model.get_input_embeddings().register_forward_hook(hook)
    return trainer


def test_a_sound_evaluation_is_the_same_twice():
    assert told(evaluation_is_repeatable_and_without_noise, sft_trainer()) == ([], [])
    assert told(evaluation_is_repeatable_and_without_noise, sft_trainer(bf16=True)) == ([], [])


def test_dropout_in_training_is_no_noise_in_evaluation():
    trainer = sft_trainer()
    trainer.model.model.layers[0].self_attn.attention_dropout = 0.5
    trainer.model.train()
    assert told(evaluation_is_repeatable_and_without_noise, trainer) == ([], [])


def test_dropout_that_asks_for_no_mode_is_found_where_it_is():
    trainer = sft_trainer()
    trainer.model.model.layers[0].mlp.register_forward_hook(
        lambda _module, _given, output: torch.nn.functional.dropout(output, 0.1)
    )
    (found,), _ = told(evaluation_is_repeatable_and_without_noise, trainer)
    assert found.where.startswith("what comes out of model.layers.0.mlp (LlamaMLP, with the forward hook")


def test_a_loss_that_draws_is_found():
    class Noisy(Trainer):
        def compute_loss(self, *given, **options):
            loss, outputs = super().compute_loss(*given, **(options | {"return_outputs": True}))
            return loss * (1 + 0.1 * torch.rand(())), outputs

    (found,), _ = told(evaluation_is_repeatable_and_without_noise, answers_trainer(Noisy))
    assert found.where == "the loss itself"


def test_a_collator_that_draws_is_only_noted():
    trainer = answers_trainer()
    collate = trainer.data_collator

    def masks_at_random(rows):
        batch = collate(rows)
        some = torch.rand(batch["labels"].shape) < 0.3
        return {**batch, "labels": batch["labels"].masked_fill(some, -100)}

    trainer.data_collator = masks_at_random
    findings, notes = told(evaluation_is_repeatable_and_without_noise, trainer)
    assert findings == []
    assert "draws at random" in notes[0]


def test_an_evaluation_that_nobody_asked_for_may_fail():
    class Failing(Trainer):
        def get_eval_dataloader(self, *_):
            raise NotImplementedError("never evaluated")

    findings, notes = told(evaluation_is_repeatable_and_without_noise, answers_trainer(Failing))
    assert findings == []
    assert "there is no eval_dataset" in notes[0]


@pytest.mark.parametrize("options", [{"neftune_noise_alpha": 5.0}, {"neftune_noise_alpha": 15.0, "bf16": True}])
def test_noise_of_the_papers_scale_is_noted(options):
    findings, notes = told(noise_on_embeddings_has_the_papers_scale, sft_trainer(**options))
    assert findings == []
    assert notes == ["noise on the embeddings is 1.0000 times as wide as the paper's"]


def test_no_hook_and_no_noise_are_left_behind():
    trainer = sft_trainer(neftune_noise_alpha=5.0)
    noise_on_embeddings_has_the_papers_scale(loop_of(trainer, ROWS), silent)
    assert noise_of(trainer.model).widest == 0
    assert not trainer.model.get_input_embeddings()._forward_hooks
    assert not any("_Look" in type(callback).__name__ for callback in trainer.callback_handler.callbacks)


def test_noise_of_another_scale_or_shape_is_found():
    check = noise_on_embeddings_has_the_papers_scale
    wrong = ["noise on the embeddings has another scale than the paper's"]
    wider = sft_trainer(neftune_noise_alpha=5.0)
    wider.neftune_noise_alpha = 7.0
    assert whats(check, wider) == wrong

    def normal(module, _given, output):
        return output + 0.05 * torch.randn_like(output) if module.training else output

    assert whats(check, hooked(normal, neftune_noise_alpha=5.0)) == wrong


def test_noise_that_a_recipe_asks_for_and_the_arguments_lost_is_found():
    recipe = Recipe(Path("recipe.yaml"), {"neftune_noise_alpha": 5})
    assert whats(noise_on_embeddings_has_the_papers_scale, sft_trainer(), recipe) == [
        "noise on the embeddings is asked for and is not there"
    ]


def in_bfloat16(learning_rate=1e-5, **options):
    trainer = sft_trainer(learning_rate=learning_rate, **options)
    for weight in trainer.model.parameters():
        weight.data *= 0.1  # of a usual size: the model's own are large
    trainer.model.bfloat16()
    return trainer


class RoundedAtRandom(torch.optim.SGD):
    """Steps of one size, rounded up or down by chance, so that none is lost in the long run."""

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for weight in group["params"]:
                wide = weight.float() - group["lr"] * weight.grad.float().sign()
                bits = wide.view(torch.int32) + torch.randint(0, 1 << 16, wide.shape, dtype=torch.int32)
                weight.copy_((bits & -65536).view(torch.float32).to(weight.dtype))


def test_steps_that_bfloat16_rounds_away_are_found():
    assert whats(weights_have_the_dtype_asked_for, in_bfloat16()) == ["steps of the optimizer are rounded away"]
    assert whats(weights_have_the_dtype_asked_for, in_bfloat16(optim="adafactor"))


def test_bfloat16_that_loses_nothing_is_no_fault():
    assert whats(weights_have_the_dtype_asked_for, in_bfloat16(learning_rate=1e-3)) == []
    trainer = in_bfloat16()
    trainer.optimizer = RoundedAtRandom(trainer.model.parameters(), lr=1e-5)
    assert whats(weights_have_the_dtype_asked_for, trainer) == []


def test_bfloat16_that_is_asked_for_is_noted():
    trainer = in_bfloat16()
    trainer.args.model_init_kwargs = {"dtype": "bfloat16"}
    findings, notes = told(weights_have_the_dtype_asked_for, trainer)
    assert findings == []
    assert notes[0].startswith("bfloat16 is what weights train in")


def test_float32_that_is_asked_for_and_not_there_is_found():
    recipe = Recipe(Path("recipe.yaml"), {"dtype": "float32"})
    assert whats(weights_have_the_dtype_asked_for, in_bfloat16(), recipe) == [
        "weights train in another precision than was asked for"
    ]


def test_an_optimizer_and_weights_are_left_as_they_were():
    trainer = in_bfloat16()
    before = {name: weight.clone() for name, weight in trainer.model.named_parameters()}
    weights_have_the_dtype_asked_for(loop_of(trainer, ROWS), silent)
    assert trainer.optimizer is None
    assert all(torch.equal(before[name], weight) for name, weight in trainer.model.named_parameters())
    assert all(weight.grad is None for weight in trainer.model.parameters())


def test_the_seed_of_the_training_is_untouched():
    trainer, state = sft_trainer(neftune_noise_alpha=5.0), torch.get_rng_state()
    loop = loop_of(trainer, ROWS)
    for check in (
        noise_on_embeddings_has_the_papers_scale,
        evaluation_is_repeatable_and_without_noise,
        weights_have_the_dtype_asked_for,
    ):
        check(loop, silent)
    assert torch.equal(state, torch.get_rng_state())
