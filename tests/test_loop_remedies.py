"""What the training suite says of mixtures and of EWC on trainers of the user's own, sound and faulty ones."""

import random

import pytest
import torch
from datasets import Dataset, interleave_datasets
from torch.utils.data import WeightedRandomSampler
from transformers import DataCollatorForSeq2Seq, Trainer

from harness.loop.elastic import the_ewc_penalty_is_its_formula, the_ewc_penalty_reaches_the_weights
from harness.loop.mixture import rows_are_mixed_as_planned
from harness.training.ewc import ElasticWeights
from harness.zoo.parts import CHATML, loop_of, plain_trainer, tokenizer_with

TOKENIZER = tokenizer_with(CHATML)


def rows(source, count, length):
    ids = [[random.Random(f"{source}{n}{i}").randrange(97, 123) for i in range(length)] for n in range(count)]
    return Dataset.from_list([{"input_ids": each, "labels": each, "source": source} for each in ids])


def trainer_on(dataset, kind=Trainer, plan=None, **arguments):
    settings = {"remove_unused_columns": True, "learning_rate": 1e-3, "num_train_epochs": 1} | arguments
    trainer = plain_trainer(TOKENIZER, dataset.to_list(), DataCollatorForSeq2Seq(TOKENIZER), kind=kind, **settings)
    if plan:
        trainer.planned_shares = plan
    return trainer


def told(check, trainer):
    notes = []
    return [str(finding) for finding in check(loop_of(trainer), notes.append)], notes


def interleaved(general_length):
    parts = [rows("task", 400, 10), rows("general", 100, general_length)]
    return interleave_datasets(parts, probabilities=[0.9, 0.1], seed=0, stopping_strategy="all_exhausted")


def test_rows_drawn_by_planned_odds_are_as_planned_within_chance():
    found, notes = told(rows_are_mixed_as_planned, trainer_on(interleaved(10), plan={"general": 0.1}))
    assert found == []
    assert notes[0].startswith("consumed tokens by source: general ")
    assert "rows that come again: task " in notes[0]  # all_exhausted, by plan


def test_long_rows_drawn_by_the_same_odds_are_more_of_the_tokens():
    (found,), _ = told(rows_are_mixed_as_planned, trainer_on(interleaved(60), plan={"general": 0.1}))
    assert "source 'general'" in found
    assert "count tokens and not rows" in found


class Weighted(Trainer):
    """Draws each row by a weight, with replacement."""

    general = 1.0

    def _get_train_sampler(self, train_dataset=None):
        weights = [self.general if source == "general" else 1.0 for source in self.train_dataset["source"]]
        generator = torch.Generator().manual_seed(0)
        return WeightedRandomSampler(weights, 1000, generator=generator)


class Oversampled(Weighted):
    """Nine task rows to one general row, of which there are 450 and 10: odds of 5 make a tenth."""

    general = 5.0


@pytest.mark.parametrize(("kind", "alarms"), [(Oversampled, 0), (Weighted, 1)])
def test_what_counts_is_what_the_sampler_draws(kind, alarms):
    both = Dataset.from_list([*rows("task", 450, 10), *rows("general", 10, 10)])
    found, _ = told(rows_are_mixed_as_planned, trainer_on(both, kind, {"general": 0.1}))
    assert len(found) == alarms


def test_a_source_without_a_plan_is_the_users_own_business():
    assert told(rows_are_mixed_as_planned, trainer_on(rows("somewhere", 8, 10))) == ([], [])


def test_a_plan_that_cannot_be_counted_is_said():
    bare = trainer_on(rows("task", 8, 10).remove_columns("source"), plan={"general": 0.1})
    assert told(rows_are_mixed_as_planned, bare)[1] == [
        "the mixture is not counted: prepared rows have no column source beside their input_ids"
    ]


class Unheard(ElasticWeights):
    """Reckons its penalty and adds it to nothing."""

    def on_pre_optimizer_step(self, *_, **__):
        pass


class InTheLoss(Trainer):
    """Adds the penalty where the task's loss is computed, as a trainer of the user's own would."""

    strength, fisher, anchor = 10.0, {}, {}

    def hold(self):
        rows = self.train_dataset.remove_columns("source").to_list()
        made = ElasticWeights.before_training(self, rows[:4], self.strength)
        self.fisher, self.anchor = made.fisher, made.anchor
        return self

    def penalty(self, model):
        return ElasticWeights(self.strength, self.fisher, self.anchor).penalty(model)

    def compute_loss(self, model, inputs, return_outputs=False, **beside):
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True, **beside)
        loss = loss + self.penalty(model)
        return (loss, outputs) if return_outputs else loss


def held_by(kind):
    trainer = trainer_on(rows("task", 40, 10))
    trainer.add_callback(kind.before_training(trainer, trainer.train_dataset.to_list()[:4], 10.0))
    return trainer


@pytest.mark.parametrize("check", [the_ewc_penalty_is_its_formula, the_ewc_penalty_reaches_the_weights])
def test_a_penalty_in_the_loss_is_as_good_as_one_in_the_gradient(check):
    assert told(check, trainer_on(rows("task", 40, 10), InTheLoss).hold()) == ([], [])
    assert told(check, held_by(ElasticWeights)) == ([], [])


def test_a_penalty_that_nobody_adds_is_found():
    trainer = held_by(Unheard)
    (found,), _ = told(the_ewc_penalty_reaches_the_weights, trainer)
    assert found.startswith("the EWC penalty does not reach the weights\n")
    assert trainer.callback_handler.callbacks[-1].strength == 10.0
    assert told(the_ewc_penalty_is_its_formula, trainer) == ([], [])


def test_a_run_too_short_to_see_it_is_said():
    trainer = trainer_on(rows("task", 8, 10))
    trainer.add_callback(ElasticWeights.before_training(trainer, trainer.train_dataset.to_list()[:4], 10.0))
    found, notes = told(the_ewc_penalty_reaches_the_weights, trainer)
    assert found == []
    assert notes == ["whether the EWC penalty reaches the weights is not seen: 2 steps in all"]
