"""Trainers as their authors write them, whose callbacks, losses and adapters have a life of their own."""

import copy
from collections import deque
from functools import partial
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import EarlyStoppingCallback, Trainer, TrainerCallback

from harness.findings import silent
from harness.inspection.stand_in import quiet
from harness.loop.checks import LOOP
from harness.loop.observed import observed
from harness.zoo.mask_loss import mean_of_tokens
from harness.zoo.parts import MARKED, ROWS, loop_of, sft_trainer
from harness.zoo.train_gradients import answers_trainer
from harness.zoo.train_updates import adapted, trained_on_chats

EACH_STEP = {"eval_strategy": "steps", "eval_steps": 1, "save_strategy": "steps", "save_steps": 1}


def found_in(trainer, note=silent):
    loop = loop_of(trainer)
    return {name.removeprefix("training/"): found for name, check in LOOP.items() if (found := check(loop, note))}


def trl(**options):
    settings = {"learning_rate": 1e-3, "num_train_epochs": 3, "per_device_train_batch_size": 2} | options
    return sft_trainer(MARKED, ROWS * 6, **settings)


def test_early_stopping_keeps_its_evaluations_and_none_is_made():
    rows = answers_trainer().train_dataset
    best = {"load_best_model_at_end": True, "metric_for_best_model": "loss", "per_device_eval_batch_size": 3}
    trainer = answers_trainer(partial(Trainer, eval_dataset=rows), num_train_epochs=5, **best, **EACH_STEP)
    trainer.add_callback(EarlyStoppingCallback(1))
    evaluated = []
    trainer._evaluate = lambda *given, **_: evaluated.append(given)
    assert found_in(trainer) == {}
    assert evaluated == []


class _TowardsACopy(Trainer):
    """Stays close to a frozen copy of the model, which it makes at its first loss."""

    reference = None

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        if self.reference is None:
            self.reference = copy.deepcopy(model).eval().requires_grad_(False)
        outputs = model(**inputs)
        with torch.no_grad():
            self.reference(input_ids=inputs["input_ids"])
        loss = mean_of_tokens(outputs, inputs["labels"], num_items_in_batch=num_items_in_batch)
        return (loss, outputs) if return_outputs else loss


def test_a_loss_that_copies_the_model_freezes_the_copy():
    trainer = answers_trainer(_TowardsACopy)
    assert LOOP["training/gradients_of_micro_batches_add_up"](loop_of(trainer), silent) == []
    assert all(weight.requires_grad for weight in trainer.model.parameters())


class _Remembers(TrainerCallback):
    def __init__(self):
        self.steps, self.losses, self.last = 0, [], deque(maxlen=2)
        self.average = {"weights": {}}
        self.total = torch.zeros(1)

    def on_step_end(self, args, state, control, model=None, **_):
        self.steps += 1
        self.losses.append(state.global_step)
        self.last.append(state.global_step)
        self.total += 1
        for name, weight in model.named_parameters():
            self.average["weights"].setdefault(name, weight.detach().clone()).mul_(0.5)


def test_what_a_callback_remembers_is_of_the_real_training_alone():
    trainer, callback = trl(), _Remembers()
    trainer.add_callback(callback)
    losses, average, total = callback.losses, callback.average, callback.total
    callback.average["weights"]["given"] = torch.ones(1)
    _ = observed(trainer).repeated
    assert (callback.steps, callback.losses, list(callback.last)) == (0, [], [])
    assert callback.average == {"weights": {"given": torch.ones(1)}}
    assert float(callback.total) == 0
    assert callback.losses is losses
    assert callback.average is average
    assert callback.total is total


def test_a_curriculum_that_counts_begins_every_run_anew():
    trainer = trl()
    inner = trainer.data_collator

    class Longer:
        def __init__(self):
            self.batches = 0

        def __call__(self, rows):
            self.batches += 1
            return {name: value[:, : 8 + 4 * self.batches] for name, value in inner(rows).items()}

    loop = loop_of(trainer)
    trainer.data_collator = Longer()
    assert LOOP["training/the_same_seed_gives_the_same_run"](loop, silent) == []
    (found,) = LOOP["training/resuming_equals_no_interruption"](loop, silent)
    assert found.where.endswith("rows")


def test_an_adapter_in_half_precision_is_as_it_was_after_resuming():
    trainer, notes = trained_on_chats(adapted(torch.bfloat16, float32_adapter=False)).loop.trainer, []
    before = {name: (id(weight), weight.clone()) for name, weight in trainer.model.named_parameters()}
    assert LOOP["training/resuming_equals_no_interruption"](loop_of(trainer), notes.append) == []
    assert "torch.float32" in notes[0]
    assert before.keys() == dict(trainer.model.named_parameters()).keys()
    for name, weight in trainer.model.named_parameters():
        identity, values = before[name]
        assert id(weight) == identity
        assert weight.dtype == values.dtype
        assert torch.equal(weight, values)


def test_rows_that_begin_again_by_wish_are_no_fault_of_resuming():
    notes = []
    assert found_in(trl(ignore_data_skip=True), notes.append) == {}
    assert any("ignore_data_skip" in each for each in notes)


@pytest.mark.parametrize("change", ["merge_adapter", "disable_adapter_layers"])
def test_an_adapter_that_takes_no_part_is_found_and_left_so(change):
    trainer = trl()
    with quiet():
        trainer.model = get_peft_model(trainer.model, LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"]))
    getattr(trainer.model.base_model, change)()
    for name, weight in trainer.model.named_parameters():
        weight.requires_grad_("lora" in name)
    layer = trainer.model.base_model.model.model.layers[0].self_attn.q_proj
    before = layer.merged, layer.disable_adapters
    (found,) = LOOP["training/only_the_intended_parameters_train"](loop_of(trainer), silent)
    assert found.what == "the adapter takes no part in the model that trains"
    assert (layer.merged, layer.disable_adapters) == before


def test_a_weight_in_two_groups_of_the_optimizer_is_found():
    trainer = trl()
    weights = list(trainer.model.parameters())
    own = torch.optim.SGD(weights, lr=1e-2)
    own.param_groups.append({**own.param_groups[0], "params": weights[:1]})
    trainer.optimizer, trainer.lr_scheduler = own, torch.optim.lr_scheduler.ConstantLR(own, factor=1.0)
    (found,) = LOOP["training/every_trained_weight_moves"](loop_of(trainer), silent)
    assert found.what == "weights are in the optimizer more than once"


def test_dropout_that_never_drops_is_noted():
    class StaysInEvaluation(Trainer):
        def compute_loss(self, model, *given, **options):
            return super().compute_loss(model.eval(), *given, **options)

    notes = []
    for kind in (Trainer, StaysInEvaluation):
        trainer = answers_trainer(kind, learning_rate=1e-3, num_train_epochs=5, gradient_accumulation_steps=1)
        with quiet():
            options = {"task_type": "CAUSAL_LM", "target_modules": ["q_proj"], "lora_dropout": 0.1}
            trainer.model = trainer.model_wrapped = get_peft_model(trainer.model, LoraConfig(**options))
        assert LOOP["training/every_trained_weight_moves"](loop_of(trainer), notes.append) == []
    assert notes == ["1 dropout layers drop nothing in training: " + _dropout_of(trainer.model)]


def _dropout_of(model):
    return next(name for name, module in model.named_modules() if isinstance(module, torch.nn.Dropout))


def test_a_checkpoint_that_nothing_can_go_on_from_is_a_finding_of_resuming_alone():
    class LosesItsState(Trainer):
        def _save_checkpoint(self, *given, **options):
            super()._save_checkpoint(*given, **options)
            for path in Path(self.args.output_dir).glob("checkpoint-*/trainer_state.json"):
                path.unlink()

    trainer = answers_trainer(LosesItsState, learning_rate=1e-3, num_train_epochs=5, gradient_accumulation_steps=1)
    found = found_in(trainer)
    assert list(found) == ["resuming_equals_no_interruption"]
    assert found["resuming_equals_no_interruption"][0].what == "a run that was interrupted cannot be resumed"


def test_a_training_without_a_step_is_found_and_one_within_its_warm_up_is_noted():
    check, notes = LOOP["training/optimizer_and_schedule_follow_the_plan"], []
    (found,) = check(loop_of(trl(num_train_epochs=0)), silent)
    assert found.what == "the training has no step, so nothing is learned"
    assert check(loop_of(trl(max_steps=6, warmup_steps=10)), notes.append) == []
    assert notes == [
        "the warm-up takes 10 steps and the training 6: the learning rate ends at 50% of what was asked for"
    ]


def test_a_schedule_of_ones_own_is_no_fault_and_one_of_transformers_for_too_many_steps_is():
    class OneCycle(Trainer):
        def create_scheduler(self, num_training_steps, optimizer=None):
            own = torch.optim.lr_scheduler.OneCycleLR
            self.lr_scheduler = own(optimizer or self.optimizer, 1e-3, total_steps=num_training_steps)
            return self.lr_scheduler

    class TooLong(Trainer):
        def create_scheduler(self, num_training_steps, optimizer=None):
            return super().create_scheduler(3 * num_training_steps, optimizer)

    check, options = LOOP["training/optimizer_and_schedule_follow_the_plan"], {"num_train_epochs": 5}
    assert check(loop_of(answers_trainer(OneCycle, **options)), silent) == []
    assert check(loop_of(answers_trainer(TooLong, **options)), silent) != []


def test_a_collator_that_draws_is_noted_after_resuming_and_a_sampler_that_forgets_is_found():
    class ForgetsRows(Trainer):
        def train(self, *given, **options):
            self.args.ignore_data_skip = True
            return super().train(*given, **options)

    def draws(rows):
        batch = inner(rows)
        return batch | {"input_ids": torch.where(torch.rand(batch["input_ids"].shape) < 0.2, 5, batch["input_ids"])}

    check, options = LOOP["training/resuming_equals_no_interruption"], {"num_train_epochs": 5}
    trainer, notes = answers_trainer(gradient_accumulation_steps=1, **options), []
    inner, loop = trainer.data_collator, loop_of(trainer)
    trainer.data_collator = draws
    assert check(loop, notes.append) == []
    assert "draws at random" in notes[-1]
    (found,) = check(loop_of(answers_trainer(ForgetsRows, gradient_accumulation_steps=1, **options)), silent)
    assert found.where.endswith("rows")


def test_rows_of_tokens_that_no_text_holds_are_not_missed():
    trainer, notes = trl(), []
    with quiet():
        config = LoraConfig(task_type="CAUSAL_LM", target_modules=["q_proj"], trainable_token_indices=[5, 6])
        trainer.model = trainer.model_wrapped = get_peft_model(trainer.model, config)
    assert LOOP["training/every_trained_weight_moves"](loop_of(trainer), notes.append) == []
    assert "used 1 tensors" in notes[0]


def test_a_loss_that_is_no_number_is_found_by_the_case_of_the_weights_alone():
    trainer, notes = trl(), []
    trainer.model.model.norm.weight.data.fill_(float("nan"))
    found = found_in(trainer, notes.append)
    assert list(found) == ["every_trained_weight_moves"]
    assert found["every_trained_weight_moves"][0].what.startswith("the loss is no number")
    assert any("nothing can be said of noise" in each for each in notes)
