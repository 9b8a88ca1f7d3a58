from functools import partial

import pytest
import torch
from datasets import Dataset
from transformers import EarlyStoppingCallback, Trainer

from harness.errors import UsageError
from harness.findings import silent
from harness.loop.evaluation_loss import loss_is_the_mean_over_all_tokens, what_it_decides
from harness.loop.packing import packing_equals_padding
from harness.loop.smoothed_loss import the_training_loss_is_the_reference
from harness.zoo.mask_loss import mean_of_means, mean_of_tokens
from harness.zoo.parts import CHATML, ROWS, loop_of, sft_trainer, tokenizer_with
from harness.zoo.train_gradients import answers_trainer


def told(check, trainer):
    notes = []
    return [finding.what for finding in check(loop_of(trainer, ROWS), notes.append)], notes


def smoothed_by(loss):
    trainer = answers_trainer(label_smoothing_factor=0.1)
    trainer.compute_loss_func = loss
    return trainer


def by_torch(outputs, labels, factor=0.1, **_):
    """The same as transformers' smoother, by another formula."""
    logits = outputs.logits[:, :-1].transpose(1, 2)
    return torch.nn.functional.cross_entropy(logits, labels[:, 1:], label_smoothing=factor)


def over_the_prompt(outputs, labels, **_):
    log_p = -torch.log_softmax(outputs.logits[:, :-1], -1)
    targets, learned = labels[:, 1:], labels[:, 1:] != -100
    likely = (log_p.gather(-1, targets.clamp(min=0).unsqueeze(-1)).squeeze(-1) * learned).sum() / learned.sum()
    return 0.9 * likely + 0.1 * log_p.mean()


@pytest.mark.filterwarnings("ignore:`label_smoothing_factor` is deprecated:FutureWarning")
@pytest.mark.parametrize("options", [{}, {"packing": True, "max_length": 200}, {"padding_free": True}])
@pytest.mark.filterwarnings("ignore:.*padding-free:UserWarning")
def test_what_trl_smooths_is_smoothed_as_asked(options):
    assert told(the_training_loss_is_the_reference, sft_trainer(label_smoothing_factor=0.1, **options)) == ([], [])


def test_own_smoothing_is_judged_by_what_it_does():
    check = the_training_loss_is_the_reference
    assert told(check, smoothed_by(by_torch)) == ([], [])
    other = "labels are not smoothed by the factor that was asked for"
    assert told(check, smoothed_by(partial(by_torch, factor=0.2)))[0] == [other]
    assert told(check, smoothed_by(mean_of_tokens))[0] == [other]
    assert told(check, smoothed_by(over_the_prompt))[0] == ["label smoothing reaches tokens whose label is -100"]
    sums = smoothed_by(lambda outputs, labels, **_: 7 * by_torch(outputs, labels))
    assert told(check, sums)[0] == ["the smoothed loss is not the mean over the supervised tokens"]


def test_a_model_that_is_certain_of_its_answers_is_no_fault():
    trainer = answers_trainer(label_smoothing_factor=0.1)
    with torch.no_grad():
        trainer.model.get_output_embeddings().weight *= 100
    assert told(the_training_loss_is_the_reference, trainer)[0] == []


def test_another_loss_beside_the_smoothed_one_is_only_noted():
    def with_a_penalty(outputs, labels, **_):
        return by_torch(outputs, labels) + outputs.logits.square().mean()

    findings, notes = told(the_training_loss_is_the_reference, smoothed_by(with_a_penalty))
    assert findings == []
    assert "no smoothed likelihood" in notes[0]


def test_without_smoothing_the_mask_suite_speaks():
    findings, notes = told(the_training_loss_is_the_reference, answers_trainer())
    assert findings == []
    assert "no label smoothing" in notes[0]


def evaluating(rows, kind=Trainer, **options):
    each = {"save_strategy": "steps", "eval_strategy": "steps", "save_steps": 1, "eval_steps": 1}
    settings = each | {"load_best_model_at_end": True, "per_device_eval_batch_size": 1} | options
    return answers_trainer(kind=partial(kind, eval_dataset=Dataset.from_list(rows)), **settings)


def unlike_rows():
    tokenizer = tokenizer_with(CHATML)
    texts = ["A fox. The gate opens.", "rain " * 40] * 2
    return [{"input_ids": ids, "labels": ids} for ids in tokenizer(texts)["input_ids"]]


def test_an_evaluation_loss_that_nothing_hangs_on_is_not_judged():
    trainer = evaluating(unlike_rows(), load_best_model_at_end=False)
    findings, notes = told(loss_is_the_mean_over_all_tokens, trainer)
    assert findings == []
    assert "nothing is decided by eval_loss" in notes[0]


def test_what_hangs_on_the_evaluation_loss():
    rows = unlike_rows()
    assert "the checkpoint that is kept" in what_it_decides(evaluating(rows))
    assert what_it_decides(evaluating(rows, metric_for_best_model="accuracy")) is None
    stopping = evaluating(rows, load_best_model_at_end=False, metric_for_best_model="eval_loss")
    assert what_it_decides(stopping) is None
    stopping.add_callback(EarlyStoppingCallback())
    assert "when the training stops" in what_it_decides(stopping)


def test_alike_batches_have_the_mean_over_all_tokens():
    tokenizer = tokenizer_with(CHATML)
    rows = [
        {"input_ids": ids[:8], "labels": ids[:8]} for ids in tokenizer(["rain " * 9, "A fox. The gate."])["input_ids"]
    ]
    assert told(loss_is_the_mean_over_all_tokens, evaluating(rows))[0] == []


def test_a_mean_over_rows_on_purpose_is_not_held_against_tokens():
    trainer = evaluating(unlike_rows())
    trainer.compute_loss_func = mean_of_means
    findings, notes = told(loss_is_the_mean_over_all_tokens, trainer)
    assert findings == []
    assert "no mean over the tokens" in notes[0]


def test_an_evaluation_that_fails_is_one_sentence():
    class Failing(Trainer):
        def evaluation_loop(self, *_, **__):
            raise KeyError("pixel_values")

    with pytest.raises(UsageError, match=r"evaluate\(\) fails on the first rows of eval_dataset"):
        loss_is_the_mean_over_all_tokens(loop_of(evaluating(unlike_rows(), kind=Failing), ROWS), silent)


def test_an_evaluation_leaves_no_trace():
    trainer = evaluating(unlike_rows(), bf16=True)
    trainer.model.train()
    forward, prepared = trainer.model.forward, list(trainer.accelerator._models)
    loss_is_the_mean_over_all_tokens(loop_of(trainer, ROWS), silent)
    assert trainer.model.training
    assert trainer.model.forward == forward
    assert trainer.accelerator._models == prepared
    assert trainer.state.log_history == []


def with_a_full_mask(trainer):
    compute = trainer.compute_loss

    def with_ones(model, inputs, **given):
        return compute(model, {**inputs, "attention_mask": torch.ones_like(inputs["input_ids"])}, **given)

    trainer.compute_loss = with_ones
    return trainer


@pytest.mark.filterwarnings("ignore:`label_smoothing_factor` is deprecated:FutureWarning")
@pytest.mark.filterwarnings("ignore:.*padding-free:UserWarning")
@pytest.mark.parametrize(
    "options", [{"packing": True}, {"padding_free": True}, {"packing": True, "loss_type": "dft"}], ids=str
)
def test_packed_documents_are_learned_as_padded_ones(options):
    options = options | ({"max_length": 200} if "packing" in options else {})
    findings, notes = told(packing_equals_padding, sft_trainer(**options))
    assert findings == []
    assert "the loss and the gradient of padded ones within" in notes[0]


def test_packed_documents_that_see_each_other_are_found():
    trainer = with_a_full_mask(sft_trainer(packing=True, max_length=200))
    assert told(packing_equals_padding, trainer)[0] == ["packed documents are not learned as single ones are"]


@pytest.mark.parametrize("options", [{}, {"packing": True, "max_length": 60, "packing_strategy": "wrapped"}], ids=str)
def test_rows_that_name_no_documents_are_left_alone(options):
    findings, notes = told(packing_equals_padding, sft_trainer(**options))
    assert findings == []
    assert "no row holds several documents" in notes[0]
