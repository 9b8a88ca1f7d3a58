"""The metric that chooses the checkpoint: one of the model, that an evaluation returns."""

from functools import partial

import pytest
from transformers import Trainer, TrainerCallback

from harness.findings import silent
from harness.loop.checks import LOOP
from harness.zoo.parts import loop_of
from harness.zoo.train_gradients import answers_trainer

EACH_STEP = {"eval_strategy": "steps", "eval_steps": 1, "save_strategy": "steps", "save_steps": 1}


def kept_by(metric, sets=None, **options):
    """A trainer that keeps the best checkpoint by this metric, whose own metrics are accuracy alone."""
    rows = answers_trainer().train_dataset
    kind = partial(Trainer, eval_dataset=rows if sets is None else dict.fromkeys(sets, rows), compute_metrics=_accuracy)
    best = {"load_best_model_at_end": True, "metric_for_best_model": metric} | EACH_STEP
    return answers_trainer(kind, num_train_epochs=5, **best, **options)


def _accuracy(asked):
    return {"accuracy": float((asked.predictions[:, :-1].argmax(-1) == asked.label_ids[:, 1:]).mean())}


@pytest.mark.parametrize(
    ("metric", "sets", "what"),
    [
        ("eval_runtime", None, "the checkpoint is chosen by how fast the machine was"),
        ("rougeL", None, "the metric that chooses the checkpoint is none that an evaluation returns"),
        ("loss", ("law", "chat"), "the metric that chooses the checkpoint is none that an evaluation returns"),
        ("accuracy", None, None),
        ("eval_accuracy", None, None),
        ("law_loss", ("law", "chat"), None),
    ],
)
def test_the_metric_that_decides_is_one_of_the_model_that_an_evaluation_returns(metric, sets, what):
    trainer = kept_by(metric, sets)
    found = LOOP["training/the_best_checkpoint_is_the_best"](loop_of(trainer), silent)
    assert [finding.what for finding in found] == ([what] if what else [])
    assert trainer.compute_metrics is _accuracy


def test_a_metric_that_a_callback_may_add_is_left_alone():
    class Adds(TrainerCallback):
        def on_evaluate(self, *_, metrics=None, **__):
            metrics["eval_answers"] = 1.0

    trainer = kept_by("answers")
    trainer.add_callback(Adds())
    assert LOOP["training/the_best_checkpoint_is_the_best"](loop_of(trainer), silent) == []
