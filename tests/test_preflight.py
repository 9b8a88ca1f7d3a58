"""``harness.preflight``: what it says of sound trainers and of faulty ones, and that it leaves every trainer alone."""

import copy
import random
import re

import numpy as np
import pytest
import torch
from datasets import Dataset
from torch.utils.data import Dataset as TorchDataset
from transformers import DataCollatorForSeq2Seq, TrainingArguments

from harness import preflight
from harness.errors import PreflightError, UsageError
from harness.inspection.stand_in import stand_in_trainer
from harness.zoo.parts import CHATML, MARKED, ROWS, plain_trainer, prepared_as, sft_trainer, tokenizer_with


def masked_first_token(ids, labels):
    first = next(i for i, label in enumerate(labels) if label != -100)
    return ids, [*labels[:first], -100, *labels[first + 1 :]]


@pytest.mark.parametrize("options", [{}, {"packing": True, "max_length": 200}, {"template": CHATML}])
def test_a_sound_trainer_passes_and_its_report_can_be_read(options):
    report = preflight(sft_trainer(**options))
    assert report.failed == ()
    assert report.documents == len(ROWS)
    assert "mask/no_answer_is_empty" in str(report)


def test_an_error_names_row_position_token_and_remedy():
    with pytest.raises(PreflightError) as raised:
        preflight(prepared_as(sft_trainer(), masked_first_token), ROWS)
    message = str(raised.value)
    assert "the first token of the answer is masked" in message
    assert re.search(r"training row 0, token \d+ of \d+", message)
    assert "remedy" in message
    failed = [case.name for case in raised.value.report.failed]
    assert failed[0] == "mask/content_and_terminator_of_every_turn_are_supervised_and_nothing_else"


def test_the_source_rows_are_those_that_trl_keeps():
    trainer = sft_trainer()
    labels = [masked_first_token(row["input_ids"], row["labels"])[1] for row in trainer.train_dataset]
    trainer.train_dataset = trainer.train_dataset.remove_columns("labels").add_column("labels", labels)
    with pytest.raises(PreflightError, match="training row 0, token"):
        preflight(trainer)


def everything_of(trainer):
    return {
        "weights": {name: value.clone() for name, value in trainer.model.state_dict().items()},
        "gradients": [parameter.grad for parameter in trainer.model.parameters()],
        "trainable": [parameter.requires_grad for parameter in trainer.model.parameters()],
        "mode": trainer.model.training,
        "config": trainer.model.config.to_dict(),
        "generation": trainer.model.generation_config.to_dict(),
        "template": trainer.processing_class.chat_template,
        "pad": trainer.processing_class.pad_token,
        "python": random.getstate(),
        "numpy": np.random.get_state()[1].tolist(),
        "torch": torch.get_rng_state(),
        "metrics": copy.deepcopy(getattr(trainer, "_metrics", None)),
        "state": trainer.state.to_json_string() if hasattr(trainer.state, "to_json_string") else repr(trainer.state),
        "loaders": list(trainer.accelerator._dataloaders),
        "optimizer": trainer.optimizer,
        "order": [int(row) for row in iter(trainer._get_train_sampler())],
    }


@pytest.mark.parametrize("options", [{}, {"packing": True, "max_length": 200}, {"bf16": True}])
def test_the_trainer_is_left_as_it_was_with_its_files_and_its_random_state(options, tmp_path):
    trainer = sft_trainer(output_dir=str(tmp_path / "out"), **options)
    random.seed(7)
    np.random.seed(7)
    torch.manual_seed(7)
    before = everything_of(trainer)
    files = sorted(path for path in tmp_path.rglob("*"))
    torch.manual_seed(7)
    preflight(trainer)
    after = everything_of(trainer)
    assert sorted(path for path in tmp_path.rglob("*")) == files
    for key, value in before.items():
        if isinstance(value, dict) and key == "weights":
            assert all(torch.equal(value[name], after[key][name]) for name in value)
        elif isinstance(value, torch.Tensor):
            assert torch.equal(value, after[key])
        else:
            assert value == after[key], key


def test_training_gives_the_same_losses_with_and_without_it():
    losses = []
    for look in (True, False):
        trainer = sft_trainer(max_steps=3, logging_steps=1, learning_rate=1e-2, disable_tqdm=True)
        if look:
            preflight(trainer)
        trainer.train()
        losses.append([entry["loss"] for entry in trainer.state.log_history if "loss" in entry])
    assert losses[0] == losses[1]
    assert len(losses[0]) == 3


def prepared(tokenizer, rows=ROWS):
    """Rows as a user's own code prepares them: the last answer learned, the rest masked."""
    made = []
    for row in rows:
        ids = tokenizer.apply_chat_template(row["messages"], return_dict=False)
        prompt = tokenizer.apply_chat_template(row["messages"][:-1], add_generation_prompt=True, return_dict=False)
        made.append({"input_ids": ids, "labels": [-100] * len(prompt) + ids[len(prompt) :]})
    return made


def test_a_plain_trainer_with_a_collator_of_the_library_passes():
    tokenizer = tokenizer_with(CHATML)
    collator = DataCollatorForSeq2Seq(tokenizer, padding=True)
    assert preflight(plain_trainer(tokenizer, prepared(tokenizer), collator), ROWS).failed == ()
    assert preflight(plain_trainer(tokenizer, prepared(tokenizer), collator)).failed == ()


def test_what_is_meant_can_be_declared():
    tokenizer = tokenizer_with(CHATML)
    trainer = plain_trainer(tokenizer, prepared(tokenizer), DataCollatorForSeq2Seq(tokenizer, padding=True))
    assert preflight(trainer, ROWS, supervised="last turn").failed == ()
    with pytest.raises(PreflightError, match="a whole assistant turn is masked"):
        preflight(trainer, ROWS, supervised="every turn")
    with pytest.raises(UsageError, match="is no policy: write one of"):
        preflight(trainer, ROWS, supervised="some turns")


class Kept(TorchDataset):
    """A set that hands out the same dict in every epoch, as lists do."""

    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, number):
        return self.rows[number]


def test_a_collator_that_changes_its_rows_is_found():
    tokenizer = tokenizer_with(CHATML)
    inner = DataCollatorForSeq2Seq(tokenizer, padding=True)

    def growing(rows):
        batch = inner([dict(row) for row in rows])
        for row in rows:
            row["labels"][-1] = -100
        return batch

    for collator, finds in ((inner, False), (growing, True)):
        trainer = plain_trainer(tokenizer, prepared(tokenizer), collator)
        trainer.train_dataset = Kept(prepared(tokenizer))
        if finds:
            with pytest.raises(PreflightError, match="changes the rows that it is given"):
                preflight(trainer, ROWS)
        else:
            assert preflight(trainer, ROWS).failed == ()


def test_evaluation_rows_without_the_mask_are_found():
    trainer = sft_trainer()
    trainer.eval_dataset = trainer.train_dataset
    assert preflight(trainer).failed == ()
    trainer.eval_dataset = trainer.eval_dataset.map(lambda row: {"labels": row["input_ids"]})
    with pytest.raises(PreflightError, match="in eval_dataset, text that is not the assistant's is supervised"):
        preflight(trainer)


def test_serving_with_other_template_variables_is_found():
    thinking = (
        MARKED.rsplit("{% if add_generation_prompt", 1)[0]
        + "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
        + "{% if enable_thinking is defined and not enable_thinking %}{{ '<think>\n\n</think>\n\n' }}{% endif %}"
        + "{% endif %}"
    )
    assert preflight(sft_trainer(thinking), serving={}).failed == ()
    with pytest.raises(PreflightError, match="not what the model is prompted with at inference"):
        preflight(sft_trainer(thinking), serving={"enable_thinking": False})
    with pytest.raises(PreflightError, match="does not know a variable"):
        preflight(sft_trainer(thinking), serving={"enable_thinkin": False})


def test_a_trainer_that_another_config_has_unsettled_is_one_sentence():
    trainer = sft_trainer()
    TrainingArguments(output_dir="unused", report_to="none", use_cpu=True)
    with pytest.raises(UsageError, match="build the trainer last"):
        preflight(trainer)


def test_a_line_break_that_is_neither_in_the_prompt_nor_learned_is_found():
    short = MARKED.replace(
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}",
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant' }}",
    )
    with pytest.raises(PreflightError, match="tokens stand between the prompt of inference"):
        preflight(sft_trainer(short))


def test_a_prompt_that_was_rendered_without_the_generation_prompt_is_found():
    tokenizer = tokenizer_with(CHATML, eos="<|im_end|>", special=("<|im_start|>",))

    def rows(opened):
        return [
            {
                "prompt": tokenizer.apply_chat_template(
                    row["messages"][:-1], tokenize=False, add_generation_prompt=opened
                ),
                "completion": row["messages"][-1]["content"],
            }
            for row in ROWS
        ]

    assert preflight(stand_in_trainer(tokenizer, rows(True))).failed == ()
    with pytest.raises(PreflightError, match="does not open the assistant's turn as the template does"):
        preflight(stand_in_trainer(tokenizer, rows(False)))


@pytest.mark.parametrize("used", [True, False])
def test_a_mask_that_prepared_rows_bring_is_to_be_used(used):
    rows = prepared(tokenizer_with(CHATML))
    trainer = sft_trainer(CHATML)
    trainer.train_dataset = Dataset.from_list(
        [
            {
                "input_ids": row["input_ids"],
                "labels": row["labels"] if used else row["input_ids"],
                "completion_mask": [int(label != -100) for label in row["labels"]],
            }
            for row in rows
        ]
    )
    if used:
        assert preflight(trainer).failed == ()
    else:
        with pytest.raises(PreflightError, match="the rows bring a completion_mask"):
            preflight(trainer)


def test_rows_of_unknown_origin_that_end_at_one_length_are_found():
    tokenizer = tokenizer_with(CHATML)
    whole = prepared(tokenizer, ROWS * 2)
    cut = [{key: value[:34] for key, value in row.items()} for row in whole]
    collator = DataCollatorForSeq2Seq(tokenizer, padding=True)
    assert preflight(plain_trainer(tokenizer, whole, collator)).failed == ()
    with pytest.raises(PreflightError, match="many answers are cut off"):
        preflight(plain_trainer(tokenizer, cut, collator))


def test_padding_on_the_left_without_a_mask_is_found():
    tokenizer = tokenizer_with(CHATML)
    inner = DataCollatorForSeq2Seq(tokenizer, padding=True)
    tokenizer.padding_side = "left"

    def without_mask(rows):
        return {key: value for key, value in inner(rows).items() if key != "attention_mask"}

    with pytest.raises(PreflightError, match="padding stands before a row") as raised:
        preflight(plain_trainer(tokenizer, prepared(tokenizer), without_mask), ROWS)
    assert "changes the labels" not in str(raised.value)


def test_what_is_no_trainer_is_one_sentence():
    with pytest.raises(UsageError, match="a str was given, which is no transformers Trainer"):
        preflight("train.py")
