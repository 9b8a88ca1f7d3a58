"""Faults of a training loop beyond those of the zoo, each found by the case that looks for it."""

import random

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import TrainerCallback

from harness.findings import silent
from harness.inspection.stand_in import quiet
from harness.loop.checks import LOOP
from harness.zoo.parts import MARKED, ROWS, loop_of, sft_trainer


def trainer_with(**options):
    settings = {"learning_rate": 1e-3, "num_train_epochs": 3, "per_device_train_batch_size": 2} | options
    return sft_trainer(MARKED, ROWS * 6, **settings)


def adapted(**options):
    trainer = trainer_with()
    with quiet():
        config = LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"], **options)
        trainer.model = get_peft_model(trainer.model, config)
    trainer.model_wrapped = trainer.model
    return trainer


def found_in(trainer):
    loop = loop_of(trainer, ROWS * 6)
    return {name.removeprefix("training/"): found for name, check in LOOP.items() if (found := check(loop, silent))}


def frozen_whole():
    trainer = trainer_with()
    trainer.model.requires_grad_(False)
    return trainer


def base_unfrozen():
    trainer = adapted()
    trainer.model.requires_grad_(True)
    return trainer


def outside_the_optimizer():
    trainer = trainer_with()
    own = torch.optim.AdamW(trainer.model.model.layers.parameters(), lr=1e-3)
    trainer.optimizer, trainer.lr_scheduler = own, torch.optim.lr_scheduler.ConstantLR(own, factor=1.0)
    return trainer


class EveryBatch(TrainerCallback):
    """Steps the schedule once more, as after each micro-batch."""

    def on_step_end(self, *_, lr_scheduler=None, **__):
        lr_scheduler.step()


class WritesToTheBase(TrainerCallback):
    def on_step_end(self, *_, model=None, **__):
        with torch.no_grad():
            model.get_input_embeddings().weight.add_(1e-3)


def with_callback(trainer, callback):
    trainer.add_callback(callback)
    return trainer


def unseeded():
    trainer = trainer_with()
    inner, draw = trainer.data_collator, random.SystemRandom()

    def collate(rows):
        batch = inner(rows)
        batch["input_ids"] = batch["input_ids"].clone()
        batch["input_ids"][:, 0] = draw.randrange(200)
        return batch

    trainer.data_collator = collate
    return trainer


def unclipped():
    trainer = trainer_with(max_grad_norm=0.01)
    trainer._clip_grad_norm = lambda model: None
    return trainer


FAULTS = {
    "nothing trains": (frozen_whole, "only_the_intended_parameters_train"),
    "the base trains beside its adapter": (base_unfrozen, "only_the_intended_parameters_train"),
    "weights outside of the optimizer": (outside_the_optimizer, "every_trained_weight_moves"),
    "a learning rate of zero": (lambda: trainer_with(learning_rate=0.0), "optimizer_and_schedule_follow_the_plan"),
    "a schedule that is stepped twice": (
        lambda: with_callback(trainer_with(), EveryBatch()),
        "optimizer_and_schedule_follow_the_plan",
    ),
    "gradients that are not clipped": (unclipped, "optimizer_and_schedule_follow_the_plan"),
    "a base that moves": (lambda: with_callback(adapted(), WritesToTheBase()), "the_base_of_an_adapter_stays"),
    "rows drawn without a seed": (unseeded, "the_same_seed_gives_the_same_run"),
}


@pytest.mark.parametrize(("build", "case"), FAULTS.values(), ids=FAULTS)
def test_the_fault_is_found(build, case):
    assert case in found_in(build())


@pytest.mark.parametrize("options", [{"bias": "all"}, {"modules_to_save": ["embed_tokens"]}, {"use_dora": True}])
def test_what_an_adapter_trains_by_its_own_config_is_no_fault(options):
    assert found_in(adapted(**options)) == {}


def test_frozen_layers_and_norms_that_train_beside_an_adapter_are_noted():
    notes = []
    trainer = trainer_with()
    trainer.model.get_input_embeddings().requires_grad_(False)
    assert LOOP["training/only_the_intended_parameters_train"](loop_of(trainer, ROWS * 6), notes.append) == []
    assert "frozen" in notes[0]
    trainer = adapted()
    for name, weight in trainer.model.named_parameters():
        weight.requires_grad_(weight.requires_grad or "norm" in name)
    assert LOOP["training/only_the_intended_parameters_train"](loop_of(trainer, ROWS * 6), notes.append) == []
    assert "beside the adapter" in notes[1]
