"""Losses that are no plain mean over the tokens of a row, on purpose."""

import pytest
import torch
from peft import PrefixTuningConfig, PromptTuningConfig, get_peft_model
from transformers import Trainer

from harness.inspection.matching import inspect_batches
from harness.inspection.reference_loss import loss_is_the_mean
from harness.inspection.stand_in import quiet, tiny_model
from harness.zoo.parts import CHATML, tokenizer_with
from harness.zoo.train_gradients import answers_trainer
from harness.zoo.train_updates import trained_on_chats


class _WeighsTheEnd(Trainer):
    """Class weights: the token that ends a turn counts three times."""

    of_rows = False

    def compute_loss(self, model, inputs, return_outputs=False, **_):
        outputs = model(**inputs)
        labels = inputs["labels"][:, 1:]
        weights = torch.ones(outputs.logits.shape[-1])
        weights[self.processing_class.convert_tokens_to_ids("<|im_end|>")] = 3.0
        losses = torch.nn.functional.cross_entropy(
            outputs.logits[:, :-1].transpose(1, 2), labels, weight=None if self.of_rows else weights, reduction="none"
        )
        learned = (labels != -100).float()
        mean = (losses.sum(1) / learned.sum(1)).mean() if self.of_rows else losses.sum() / learned.sum()
        return (mean, outputs) if return_outputs else mean


def test_class_weights_are_no_fault_and_a_mean_of_the_rows_means_still_is():
    trainer = answers_trainer(_WeighsTheEnd, per_device_train_batch_size=3, gradient_accumulation_steps=1)
    assert loss_is_the_mean(trainer, inspect_batches(trainer)) == []
    trainer.of_rows = True
    (found,) = loss_is_the_mean(trainer, inspect_batches(trainer))
    assert found.what == "supervised tokens count unequally"


@pytest.mark.parametrize("config", [PromptTuningConfig, PrefixTuningConfig])
def test_virtual_tokens_before_a_row_are_no_part_of_its_loss(config):
    model = tiny_model(tokenizer_with(CHATML))
    with quiet():
        model = get_peft_model(model, config(task_type="CAUSAL_LM", num_virtual_tokens=3))
    for trainer in (trained_on_chats(model).loop.trainer, answers_trainer(gradient_accumulation_steps=1)):
        trainer.model = model
        assert loss_is_the_mean(trainer, inspect_batches(trainer)) == []


class _ToThePower(Trainer):
    """A loss whose weights follow from the model: a focal one of tokens, or a preference for whole rows."""

    of_rows = False

    def compute_loss(self, model, inputs, return_outputs=False, **_):
        outputs = model(**inputs)
        labels = inputs["labels"][:, 1:]
        losses = torch.nn.functional.cross_entropy(
            outputs.logits[:, :-1].transpose(1, 2), labels, ignore_index=-100, reduction="none"
        )
        if self.of_rows:
            loss = -torch.nn.functional.logsigmoid(0.1 * (losses.sum(1).detach() - losses.sum(1))).mean()
        else:
            loss = ((1 - torch.exp(-losses)) ** 2 * losses).sum() / (labels != -100).sum()
        return (loss, outputs) if return_outputs else loss


@pytest.mark.parametrize("of_rows", [False, True])
def test_weights_that_follow_from_the_model_are_another_loss_on_purpose(of_rows):
    trainer = answers_trainer(_ToThePower, per_device_train_batch_size=3, gradient_accumulation_steps=1)
    trainer.of_rows = of_rows
    assert loss_is_the_mean(trainer, inspect_batches(trainer)) == []
