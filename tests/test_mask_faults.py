"""Faults put into prepared rows, collators and batches: each is found, and what is legitimate raises no alarm."""

import pytest
import torch
from datasets import Dataset
from transformers import DataCollatorForLanguageModeling

from harness.errors import DataError, UsageError
from harness.inspection import collation, mask, remarks, sources
from harness.inspection.batches import collated
from harness.inspection.documents import preview, segments
from harness.inspection.matching import inspect_batches
from harness.inspection.stand_in import stand_in_trainer
from harness.zoo.parts import CHATML, MARKED, ROWS, WITH_BOS, tokenizer_with

CHECKS = (
    sources.rows_are_what_the_template_renders,
    sources.rows_start_with_one_bos,
    mask.turns_are_supervised,
    collation.labels_are_the_ids,
    collation.padding_is_ignored,
    collation.collator_keeps_labels,
    collation.packed_documents_are_apart,
    sources.every_row_teaches,
    sources.messages_reach_the_row,
    mask.terminator_is_learned,
)


def whats(trainer, rows=ROWS):
    seen = inspect_batches(trainer, rows)
    return {finding.what for check in CHECKS for finding in check(seen)}


def trainer_of(template=MARKED, rows=ROWS, **options):
    return stand_in_trainer(tokenizer_with(template), rows, **options)


def prepared_as(trainer, change):
    """Change the prepared rows: ``change`` gets ids and labels and returns them."""
    rows = []
    for row in trainer.train_dataset:
        ids, labels = change(list(row["input_ids"]), list(row["labels"]))
        rows.append({"input_ids": ids, "labels": labels})
    trainer.train_dataset = Dataset.from_list(rows)
    return trainer


def answer(labels):
    """The first and the last supervised position."""
    learned = [i for i, label in enumerate(labels) if label != -100]
    return learned[0], learned[-1]


def with_labels(labels, change):
    return labels[: min(change)] + [change.get(i, labels[i]) for i in range(min(change), len(labels))]


# what must not alarm


@pytest.mark.parametrize("template", [CHATML, MARKED, WITH_BOS])
@pytest.mark.parametrize("options", [{}, {"packing": True, "max_length": 200}, {"per_device_train_batch_size": 1}])
def test_what_trl_makes_of_good_rows_raises_no_alarm(template, options):
    assert whats(trainer_of(template, **options)) == set()


def test_rows_cut_at_the_limit_raise_no_alarm_and_are_counted():
    whole = trainer_of()
    longest = max(len(row["input_ids"]) for row in whole.train_dataset)
    trainer = trainer_of(max_length=longest - 3)
    assert whats(trainer) == set()
    assert any("1 of 3 inspected rows are cut" in note for note in remarks.notes(inspect_batches(trainer, ROWS)))


def test_prompts_that_are_learned_on_purpose_raise_no_alarm():
    trainer = stand_in_trainer(tokenizer_with(MARKED), ROWS, assistant_only_loss=False)
    assert whats(trainer) == set()
    assert remarks.notes(inspect_batches(trainer, ROWS))[0] == "supervised: the whole row is to be learned"


def test_a_pad_token_that_is_the_eos_token_raises_no_alarm():
    tokenizer = tokenizer_with(MARKED, eos="<|im_end|>")
    tokenizer.pad_token = tokenizer.eos_token
    assert whats(stand_in_trainer(tokenizer, ROWS)) == set()


def test_turns_are_checked_without_the_source_rows():
    trainer = prepared_as(trainer_of(CHATML), lambda ids, labels: (ids, labels))
    assert whats(trainer, rows=None) == set()


def test_plain_text_rows_raise_no_alarm():
    rows = [{"text": "The gate opens at noon."}, {"text": "A fox may cross."}]
    assert whats(trainer_of(rows=rows), rows) == set()


def test_text_whose_source_is_not_known_raises_no_alarm_but_a_note():
    trainer = trainer_of(rows=[{"prompt": "The gate opens", "completion": " at noon."}])
    assert "so masks were not checked" not in " ".join(remarks.notes(inspect_batches(trainer)))
    trainer = prepared_as(trainer, lambda ids, labels: (ids, labels))
    assert whats(trainer, rows=None) == set()
    assert "so masks were not checked" in remarks.notes(inspect_batches(trainer))[-1]


# faults in the prepared rows


def first_masked(ids, labels):
    return ids, with_labels(labels, {answer(labels)[0]: -100})


def header_supervised(ids, labels):
    first = answer(labels)[0]
    return ids, with_labels(labels, {i: ids[i] for i in range(first - 2, first)})


def terminator_masked(ids, labels):
    return ids, with_labels(labels, {answer(labels)[1]: -100})


def everything_supervised_after_the_first_answer(ids, labels):
    first = answer(labels)[0]
    return ids, labels[:first] + ids[first:]


def only_the_last_turn(ids, labels):
    last = max(i for i in range(1, len(labels)) if labels[i] != -100 and labels[i - 1] == -100)
    return ids, [-100] * last + labels[last:]


def shifted(ids, labels):
    return ids, [*labels[1:], -100]


def doubled_bos(ids, labels):
    return [ids[0], *ids], [-100, *labels]


def without_bos(ids, labels):
    return ids[1:], labels[1:]


def forced_end(ids, labels):
    end = labels[answer(labels)[1]]
    cut = answer(labels)[1] - 1
    return [*ids[:cut], end], [*labels[:cut], end]


def nothing_to_learn(ids, labels):
    return ids, [-100] * len(ids)


@pytest.mark.parametrize(
    ("fault", "what"),
    [
        (first_masked, "the first token of the answer is masked"),
        (header_supervised, "text that is not the assistant's is supervised"),
        (terminator_masked, "the token that ends the turn is masked, so the model never learns to stop"),
        (everything_supervised_after_the_first_answer, "text that is not the assistant's is supervised"),
        (only_the_last_turn, "a whole assistant turn is masked"),
        (shifted, "labels are shifted before the model shifts them again"),
        (doubled_bos, "a training row starts with more than one BOS token"),
        (without_bos, "a training row has lost its BOS token"),
        (
            forced_end,
            "a cut row was given an end-of-turn token, so the model learns to stop mid-sentence",
        ),
        (nothing_to_learn, "a training row has nothing left to learn"),
    ],
)
def test_a_fault_in_the_prepared_rows_is_found(fault, what):
    assert what in whats(prepared_as(trainer_of("{{ bos_token }}" + MARKED), fault))


@pytest.mark.parametrize("fault", [first_masked, terminator_masked, everything_supervised_after_the_first_answer])
def test_a_fault_is_found_without_the_source_rows(fault):
    assert whats(prepared_as(trainer_of(), fault), rows=None)


def test_a_terminator_that_no_row_teaches_is_found():
    trainer = prepared_as(trainer_of(), terminator_masked)
    seen = inspect_batches(prepared_as(trainer, only_the_last_turn), ROWS)
    assert mask.terminator_is_learned(seen)


def test_rows_that_are_all_cut_before_their_end_are_found():
    rows = [{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "noon " * 40}]}] * 6
    assert "no row teaches the model to end its turn" in whats(trainer_of(CHATML, rows=rows, max_length=30), rows)


def test_a_mask_that_is_lost_on_some_rows_is_found():
    lost = iter([True, False, False])

    def lose(ids, labels):
        return ids, list(ids) if next(lost) else labels

    trainer = prepared_as(trainer_of(), lose)
    trainer.args.assistant_only_loss = False
    trainer.args.completion_only_loss = None
    trainer.completion_only_loss = False
    assert "some rows learn their prompts and others do not" in whats(trainer)


def test_a_turn_in_the_middle_without_its_terminator_is_found():
    ended = "m['content'] + '<|im_end|>' }}{% endgeneration"
    template = MARKED.replace(ended, "m['content'] + ('<|im_end|>' if loop.last else '') }}{% endgeneration")
    assert "the template ends some turns with its terminator and this one without" in whats(trainer_of(template))


def test_a_collator_that_fails_is_one_sentence():
    trainer = trainer_of()

    def ragged(rows):
        raise ValueError("expected sequence of length 29 at dim 1 (got 30)")

    trainer.data_collator = ragged
    with pytest.raises(UsageError, match=r"data collator .* fails on its own prepared rows"):
        collated(trainer, 64)


def test_rows_that_were_dropped_are_counted():
    rows = [*ROWS, {"messages": [{"role": "user", "content": "noon " * 90}, {"role": "assistant", "content": "Yes."}]}]
    trainer = trainer_of(rows=rows, max_length=80)
    seen = inspect_batches(trainer, rows)
    (finding,) = sources.every_row_teaches(seen)
    assert finding.where == "1 of 4 rows"


def test_rows_that_are_all_dropped_are_one_sentence():
    with pytest.raises(DataError, match="no training row is left"):
        inspect_batches(trainer_of(CHATML, max_length=3), ROWS)


def test_a_text_that_was_rendered_before_gets_its_second_bos_found():
    tokenizer = tokenizer_with(WITH_BOS, adds_bos=True)
    rows = [{"text": tokenizer.apply_chat_template(row["messages"], tokenize=False)} for row in ROWS]
    assert "a training row starts with more than one BOS token" in whats(stand_in_trainer(tokenizer, rows), rows)


def test_roles_that_the_template_takes_for_something_else_are_found():
    rows = [{"messages": [{"role": "human", "content": "x"}, {"role": "gpt", "content": "The gate."}]}]
    trainer = trainer_of()
    trainer.train_dataset = Dataset.from_list([{"input_ids": ids} for ids in rendered(trainer, rows)])
    assert "a conversation has no assistant turn" in whats(trainer, rows)


def rendered(trainer, rows):
    return [trainer.processing_class.apply_chat_template(row["messages"], return_dict=False) for row in rows]


def test_pieces_of_split_rows_are_found():
    trainer = trainer_of(packing=True, packing_strategy="bfd_split", max_length=40)
    assert "a document is a piece from the middle of a conversation" in whats(trainer)


def test_completion_only_that_never_takes_hold_is_found():
    trainer = stand_in_trainer(tokenizer_with(MARKED), ROWS, assistant_only_loss=False, completion_only_loss=True)
    assert "text that is not the assistant's is supervised" in whats(trainer)


# faults in the collator


def collating(trainer, change):
    collate = trainer.data_collator
    trainer.data_collator = lambda features: change(dict(collate(features)))
    return trainer


def padding_supervised(batch):
    return batch | {"labels": torch.where(batch["attention_mask"] == 0, batch["input_ids"], batch["labels"])}


def mask_from_ids(batch):
    return batch | {"attention_mask": (batch["input_ids"] != batch["input_ids"][0, 3]).long()}


@pytest.mark.parametrize(
    ("fault", "what"),
    [
        (padding_supervised, "padding is supervised"),
        (mask_from_ids, "the attention mask does not cover the row"),
    ],
)
def test_a_fault_in_the_collator_is_found(fault, what):
    assert what in whats(collating(trainer_of(), fault))


def test_a_collator_that_masks_the_terminator_with_the_padding_is_found():
    tokenizer = tokenizer_with(MARKED, eos="<|im_end|>")
    tokenizer.pad_token = tokenizer.eos_token
    trainer = stand_in_trainer(tokenizer, ROWS)
    trainer.data_collator = DataCollatorForLanguageModeling(trainer.processing_class, mlm=False)
    trainer.train_dataset = trainer.train_dataset.select_columns(["input_ids"])
    assert "no row teaches the model to end its turn" in whats(trainer)


def test_a_2d_mask_over_packed_rows_is_found():
    trainer = collating(
        trainer_of(packing=True, max_length=200),
        lambda batch: batch | {"attention_mask": torch.ones_like(batch["input_ids"])},
    )
    assert "documents packed into one row are not kept apart" in whats(trainer)


def test_a_label_across_a_boundary_of_packed_rows_is_found():
    trainer = collating(
        trainer_of(packing=True, max_length=200), lambda batch: batch | {"labels": batch["input_ids"].clone()}
    )
    assert "documents packed into one row are not kept apart" in whats(trainer)


# batches


def test_collating_leaves_the_random_state_and_the_trainer_alone():
    trainer = trainer_of()
    before = torch.random.get_rng_state()
    first, second = collated(trainer, 64), collated(trainer, 64)
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(first[0].inputs["input_ids"], second[0].inputs["input_ids"])
    assert trainer.accelerator._dataloaders == []


def test_packed_rows_are_cut_into_their_documents():
    plain = {segment.ids for batch in collated(trainer_of(), 64) for segment in segments(batch)}
    packed = {s.ids for batch in collated(trainer_of(packing=True, max_length=200), 64) for s in segments(batch)}
    assert packed == plain


def test_the_preview_tells_supervised_text_from_the_rest():
    trainer = trainer_of()
    (shown,) = preview(segments(collated(trainer, 64)[0]), trainer.processing_class, n=1)
    assert shown.runs[1] == ("The gate.<|im_end|>", True)
    assert [supervised for _, supervised in shown.runs] == [False, True, False]


# what fresh eyes found to be false alarms


def test_text_of_which_a_part_is_learned_raises_no_alarm():
    rows = [{"text": "### Question: noon?\n### Answer: the gate."}, {"text": "### Question: six?\n### Answer: a fox."}]

    def from_the_middle(ids, labels):
        return ids, [-100] * (len(ids) // 2) + ids[len(ids) // 2 :]

    trainer = prepared_as(trainer_of(rows=rows), from_the_middle)
    assert whats(trainer, rows) == set()


def test_a_collator_that_masks_rows_which_mask_nothing_raises_no_alarm():
    trainer = stand_in_trainer(tokenizer_with(MARKED), ROWS)
    masked = {tuple(row["input_ids"]): list(row["labels"]) for row in trainer.train_dataset}
    prepared_as(trainer, lambda ids, labels: (ids, list(ids)))
    collate = trainer.data_collator
    trainer.data_collator = lambda rows: collate([{**row, "labels": masked[tuple(row["input_ids"])]} for row in rows])
    assert whats(trainer) == set()


def test_a_text_that_brings_its_one_bos_raises_no_alarm():
    tokenizer = tokenizer_with(CHATML, adds_bos=True)
    rows = [{"text": f"<|begin|>{text}"} for text in ("The gate opens at noon.", "A fox may cross.")]
    trainer = stand_in_trainer(tokenizer, rows)
    prepared_as(trainer, lambda ids, labels: (ids[1:], labels[1:]))
    assert whats(trainer, rows) == set()
