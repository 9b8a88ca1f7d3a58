import pytest
import torch

from harness.errors import DataError, UsageError
from harness.inspection.batches import collated
from harness.inspection.reference_loss import loss_equals_reference, loss_gaps
from harness.inspection.stand_in import stand_in_trainer
from harness.zoo.parts import CHATML, MARKED, ROWS, tokenizer_with


def trainer_of(template=MARKED, **options):
    return stand_in_trainer(tokenizer_with(template), ROWS, **options)


@pytest.mark.filterwarnings("ignore:`label_smoothing_factor` is deprecated:FutureWarning")
@pytest.mark.parametrize(
    "options", [{}, {"packing": True, "max_length": 200}, {"label_smoothing_factor": 0.1}, {"bf16": True}]
)
def test_the_loss_of_a_sound_trainer_is_the_reference(options):
    trainer = trainer_of(**options)
    assert loss_equals_reference(trainer, collated(trainer, 64)[0]) == []


def test_half_precision_weights_are_compared_in_float32_and_given_back():
    trainer = trainer_of()
    trainer.model.bfloat16()
    before = [parameter.clone() for parameter in trainer.model.parameters()]
    assert loss_equals_reference(trainer, collated(trainer, 64)[0]) == []
    assert all(torch.equal(a, b) for a, b in zip(before, trainer.model.parameters(), strict=True))
    assert next(trainer.model.parameters()).dtype == torch.bfloat16


def test_the_trainer_is_left_as_it_was():
    trainer = trainer_of()
    trainer.model.train()
    metrics = {mode: dict(values) for mode, values in trainer._metrics.items()}
    loss_gaps(trainer, collated(trainer, 64)[0])
    assert trainer.model.training
    assert {mode: dict(values) for mode, values in trainer._metrics.items()} == metrics


def test_the_loss_counts_items_where_gradients_are_accumulated():
    trainer = trainer_of()
    batch = collated(trainer, 64)[0]
    ((mean, _),) = loss_gaps(trainer, batch)
    targets = int((batch.inputs["labels"][:, 1:] != -100).sum())
    ((share, reference),) = loss_gaps(trainer, batch, [4 * targets])
    assert share == pytest.approx(mean / 4)
    assert share == pytest.approx(reference)


def sharpened(trainer):
    """Weights large enough that a fault of one token moves the loss (a fresh model says nothing of any token)."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        for parameter in trainer.model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return trainer


def test_labels_shifted_twice_are_found():
    trainer = sharpened(trainer_of())
    compute = trainer.compute_loss

    def shift_again(model, inputs, **given):
        labels = torch.cat([inputs["labels"][:, 1:], torch.full_like(inputs["labels"][:, :1], -100)], dim=1)
        return compute(model, {**inputs, "labels": labels}, **given)

    trainer.compute_loss = shift_again
    assert loss_equals_reference(trainer, collated(trainer, 64)[0])


def test_packed_documents_that_see_each_other_are_found():
    trainer = sharpened(trainer_of(packing=True, max_length=200))
    batch = collated(trainer, 64)[0]
    compute = trainer.compute_loss

    def with_ones(model, inputs, **given):
        return compute(model, {**inputs, "attention_mask": torch.ones_like(inputs["input_ids"])}, **given)

    assert loss_equals_reference(trainer, batch) == []
    trainer.compute_loss = with_ones
    assert loss_equals_reference(trainer, batch)


def test_a_mean_over_all_tokens_is_found():
    trainer = sharpened(trainer_of())
    compute = trainer.compute_loss
    trainer.compute_loss = lambda model, inputs, **given: compute(model, inputs, **given) / 2
    assert loss_equals_reference(trainer, collated(trainer, 64)[0])


def test_another_loss_is_not_compared():
    trainer = trainer_of(loss_type="dft")
    with pytest.raises(UsageError, match="loss_type='dft'"):
        loss_gaps(trainer, collated(trainer, 64)[0])


def test_rows_that_the_template_refuses_are_one_sentence():
    refusing = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system here') }}{% endif %}" + CHATML
    with pytest.raises(DataError, match=r"refuses training row 1 \(no system here\)"):
        trainer_of(refusing)


def test_rows_without_an_assistant_turn_are_one_sentence():
    rows = [{"messages": [{"role": "human", "content": "x"}, {"role": "gpt", "content": "y"}]}]
    with pytest.raises(DataError, match="training row 0 does not end with an assistant turn"):
        stand_in_trainer(tokenizer_with(CHATML), rows)
    with pytest.raises(DataError, match="no training rows"):
        stand_in_trainer(tokenizer_with(CHATML), [])


def test_a_loss_that_fails_on_its_own_batch_is_one_sentence():
    trainer = trainer_of()
    trainer.compute_loss = lambda model, inputs, **given: inputs["pixel_values"].mean()
    with pytest.raises(UsageError, match="compute_loss fails on its own batch"):
        loss_equals_reference(trainer, collated(trainer, 64)[0])
