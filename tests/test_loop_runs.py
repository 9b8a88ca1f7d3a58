"""Short runs of a trainer: what they write down, and that the trainer is the same afterwards."""

import copy
import gc
import random
import weakref

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import TrainerCallback

from harness.errors import UsageError
from harness.findings import silent
from harness.inspection.stand_in import quiet
from harness.loop.checks import LOOP
from harness.loop.observed import STEPS, observed
from harness.loop.put_back import put_back
from harness.zoo.parts import MARKED, ROWS, loop_of, sft_trainer

OPTIONS = {
    "as it is": {},
    "accumulating": {"gradient_accumulation_steps": 3},
    "packing": {"packing": True, "max_length": 200},
    "noise": {"neftune_noise_alpha": 5},
    "autocast": {"bf16": True},
    "activation checkpointing": {"activation_checkpointing": True},
    "warm-up and cosine": {"warmup_steps": 0.1, "lr_scheduler_type": "cosine"},
    "constant": {"lr_scheduler_type": "constant"},
    "polynomial": {"lr_scheduler_type": "polynomial"},
    "weights alone are saved": {"save_only_model": True},
    "one step": {"max_steps": 1},
}


def trainer_with(**options):
    settings = {"learning_rate": 1e-3, "num_train_epochs": 3, "per_device_train_batch_size": 2} | options
    return sft_trainer(MARKED, ROWS * 6, **settings)


def adapted(trainer):
    with quiet():
        trainer.model = get_peft_model(trainer.model, LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"]))
    trainer.model_wrapped = trainer.model
    return trainer


def everything_of(trainer):
    model = trainer.model
    return {
        "weights": {name: value.clone() for name, value in model.state_dict().items()},
        "gradients": [parameter.grad for parameter in model.parameters()],
        "trainable": [parameter.requires_grad for parameter in model.parameters()],
        "modes": [module.training for module in model.modules()],
        "checkpointing": [getattr(module, "gradient_checkpointing", None) for module in model.modules()],
        "hooks": [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()],
        "forward": model.forward,
        "config": model.config.to_dict(),
        "generation": model.generation_config.to_dict(),
        "python": random.getstate(),
        "numpy": np.random.get_state()[1].tolist(),
        "torch": torch.get_rng_state(),
        "metrics": copy.deepcopy(getattr(trainer, "_metrics", None)),
        "arguments": trainer.args.to_json_string(),
        "state": repr(trainer.state),
        "control": copy.copy(vars(trainer.control)),
        "callbacks": list(trainer.callback_handler.callbacks),
        "loaders": list(trainer.accelerator._dataloaders),
        "optimizer": trainer.optimizer,
        "schedule": trainer.lr_scheduler,
        "attributes": sorted(vars(trainer)),
    }


def same(left, right):
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return torch.equal(left, right) if isinstance(left, torch.Tensor) else left == right


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_no_case_finds_anything_in_a_sound_training_or_leaves_a_trace(options, tmp_path):
    trainer = trainer_with(output_dir=str(tmp_path / "out"), **options)
    loop = loop_of(trainer, ROWS * 6)
    before, files = everything_of(trainer), sorted(tmp_path.rglob("*"))
    assert {
        name: [str(each) for each in check(loop, silent)] for name, check in LOOP.items() if check(loop, silent)
    } == {}
    after = everything_of(trainer)
    assert [key for key in before if not same(before[key], after[key])] == []
    assert sorted(tmp_path.rglob("*")) == files


def test_an_adapter_trains_soundly_too():
    trainer = adapted(trainer_with())
    loop = loop_of(trainer, ROWS * 6)
    before = everything_of(trainer)
    assert {name for name, check in LOOP.items() if check(loop, silent)} == set()
    after = everything_of(trainer)
    assert [key for key in before if not same(before[key], after[key])] == []


def test_the_real_training_is_the_same_with_and_without_it(tmp_path):
    losses = []
    for looked_at in (False, True):
        torch.manual_seed(3)
        trainer = trainer_with(output_dir=str(tmp_path), max_steps=3, logging_steps=1, seed=11)
        if looked_at:
            _ = observed(trainer).course, observed(trainer).repeated
        torch.manual_seed(5)
        trainer.train()
        losses.append([entry["loss"] for entry in trainer.state.log_history if "loss" in entry])
    assert losses[0] == losses[1]


def test_a_trainer_that_was_looked_at_goes_when_its_owner_is_done_with_it():
    trainer = trainer_with()
    _ = observed(trainer).course
    gone = weakref.ref(trainer)
    del trainer
    gc.collect()
    assert gone() is None


def test_an_optimizer_of_ones_own_comes_back_as_it_was():
    trainer = trainer_with()
    own = torch.optim.AdamW(trainer.model.parameters(), lr=1e-3)
    trainer.optimizer, trainer.lr_scheduler = own, torch.optim.lr_scheduler.ConstantLR(own, factor=1.0)
    assert [step.rates[0][0] for step in observed(trainer).course.steps] == [1e-3] * STEPS
    assert trainer.optimizer is own
    assert own.state_dict()["state"] == {}
    assert {name for name, check in LOOP.items() if check(loop_of(trainer, ROWS * 6), silent)} == set()


def test_callbacks_that_show_or_keep_are_not_told_and_those_of_the_steps_are():
    told = []

    class Teller(TrainerCallback):
        def on_step_end(self, *_, **__):
            told.append("step")

        def on_log(self, *_, **__):
            told.append("log")

        def on_save(self, *_, **__):
            told.append("save")

    trainer = trainer_with()
    trainer.add_callback(Teller())
    _ = observed(trainer).repeated
    assert set(told) == {"step"}


def test_a_collator_with_a_generator_of_its_own_begins_every_run_as_the_first():
    trainer = trainer_with()
    inner = trainer.data_collator

    class Shifting:
        def __init__(self):
            self.draw = random.Random(0)

        def __call__(self, rows):
            batch = inner(rows)
            batch["input_ids"] = batch["input_ids"].clone()
            batch["input_ids"][:, 0] = self.draw.randrange(100)
            return batch

    trainer.data_collator = Shifting()
    assert LOOP["training/the_same_seed_gives_the_same_run"](loop_of(trainer, ROWS * 6), silent) == []


def test_a_training_that_fails_is_one_sentence():
    trainer = trainer_with()

    def broken(*_, **__):
        raise RuntimeError("no such kernel\nand more")

    trainer.training_step = broken
    with pytest.raises(UsageError, match=r"train\(\) fails within its first 4 steps \(RuntimeError: no such kernel\)"):
        _ = observed(trainer).course


def test_what_is_put_back_is_put_back_after_an_error_too():
    trainer = trainer_with()
    before = everything_of(trainer)

    def fails():
        with put_back(trainer):
            trainer.model.lm_head.weight.data.zero_()
            trainer.args.learning_rate = 7.0
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    after = everything_of(trainer)
    assert [key for key in before if not same(before[key], after[key])] == []
