"""Rows learned by heart: what a broken set-up answers, what a sound one does, and that the trainer stays as it was."""

from __future__ import annotations

import random

import pytest
import torch
from peft import LoraConfig, get_peft_model

from harness.inspection.matching import inspect_batches
from harness.inspection.overfit import a_short_overfit_teaches_to_stop
from harness.zoo.parts import CHATML, MARKED, ROWS, prepared_as, sft_trainer, tokenizer_with

END = tokenizer_with(CHATML).convert_tokens_to_ids("<|im_end|>")
PAIRS = [
    {"prompt": "Q: Who?\nA:", "completion": " A fox."},
    {"prompt": "Q: What?\nA:", "completion": " The gate opens"},
]
ONE_PROMPT = [
    {"messages": [{"role": "user", "content": "Name one."}, {"role": "assistant", "content": answer}]}
    for answer in ("A fox.", "A fox. And the gate.", "The rain", "A town")
]


def overfitted(trainer, rows=ROWS, **declared):
    said: list[str] = []
    findings = a_short_overfit_teaches_to_stop(trainer, inspect_batches(trainer, rows, **declared), said.append)
    (note,) = said
    return findings, note


def end_masked(ids, labels):
    return ids, [-100 if label == END else label for label in labels]


def shifted(ids, labels):
    return ids, [*labels[1:], -100]


def first_masked(ids, labels):
    first = next(at for at, label in enumerate(labels) if label != -100)
    return ids, [-100 if at == first else label for at, label in enumerate(labels)]


@pytest.mark.parametrize(
    ("change", "what"),
    [(end_masked, "does not end its answer"), (shifted, "does not begin"), (first_masked, "does not begin")],
)
def test_what_the_loss_does_not_tell_is_found(change, what):
    findings, note = overfitted(prepared_as(sft_trainer(CHATML), change))
    assert what in findings[0].what
    assert findings[0].where.startswith("training row 0, token ")
    assert "learned" in note


@pytest.mark.parametrize(
    ("rows", "options"),
    [
        (ROWS, {}),
        (ROWS, {"packing": True, "max_length": 256}),
        (ROWS, {"neftune_noise_alpha": 5}),
        (PAIRS, {}),
        (ONE_PROMPT, {}),
    ],
    ids=["messages", "packed", "noisy embeddings", "plain text", "one prompt with several answers"],
)
def test_a_sound_set_up_says_its_rows_back_and_ends_them(rows, options):
    findings, note = overfitted(sft_trainer(MARKED, rows, **options), rows)
    assert findings == []
    assert "learned in" in note


def test_a_row_that_was_cut_is_not_asked_to_end():
    findings, _ = overfitted(sft_trainer(MARKED, max_length=30))
    assert findings == []


@pytest.mark.parametrize(
    ("prepare", "why"),
    [
        (lambda trainer: trainer.model.requires_grad_(requires_grad=False), "no weight"),
        (lambda trainer: setattr(trainer.args, "loss_type", "dft"), "dft"),
        (
            lambda trainer: setattr(
                trainer,
                "model",
                get_peft_model(trainer.model, LoraConfig(r=1, target_modules=["q_proj"], task_type="CAUSAL_LM")),
            ),
            "inconclusive",
        ),
    ],
    ids=["frozen", "another loss", "too small an adapter"],
)
def test_where_nothing_can_be_learned_nothing_is_said(prepare, why):
    trainer = sft_trainer(MARKED)
    prepare(trainer)
    findings, note = overfitted(trainer)
    assert findings == []
    assert why in note


def test_text_without_turns_is_not_asked():
    rows = [{"text": "A fox may cross the garden."}, {"text": "The gate closes at six."}]
    findings, note = overfitted(sft_trainer(MARKED, rows), rows)
    assert findings == []
    assert "nothing to ask" in note


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_trainer_is_the_same_afterwards(dtype):
    trainer = sft_trainer(MARKED)
    model = trainer.model.to(dtype).train()
    model.lm_head.weight.grad = torch.ones_like(model.lm_head.weight)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    states = random.getstate(), torch.get_rng_state()
    metrics = {mode: dict(values) for mode, values in trainer._metrics.items()}
    findings, _ = overfitted(trainer)
    assert findings == []
    after = model.state_dict()
    assert all(torch.equal(after[name], value) and after[name].dtype == dtype for name, value in before.items())
    assert torch.equal(model.lm_head.weight.grad, torch.ones_like(model.lm_head.weight))
    assert model.model.embed_tokens.weight.grad is None
    assert (random.getstate(), metrics) == (
        states[0],
        {mode: dict(values) for mode, values in trainer._metrics.items()},
    )
    assert torch.equal(torch.get_rng_state(), states[1])
    assert model.training
    assert trainer.optimizer is None
