"""What users get wrong before a training: one sentence each, no traceback, no hang, and nothing of theirs used up."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from transformers import Trainer, TrainingArguments

from harness.errors import UsageError
from harness.inspection.batches import LONGEST_AT_ALL, LONGEST_RUN, Batch, collated, light
from harness.inspection.matching import inspect_batches, served_tokenizer
from harness.models.fetch import Access
from harness.models.files import read_files
from harness.references import parse_reference
from harness.rows import read_rows
from harness.training.users import users_trainer

ROWS = [
    [{"role": "user", "content": f"Is shop {n} open?"}, {"role": "assistant", "content": f"Yes, {n} is."}]
    for n in range(6)
]

SCRIPT = """
import argparse
import sys

import torch
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainingArguments

number = 3


def raises():
    raise RuntimeError("no data here.\\nand more")


def gives_nothing():
    return None


def gives_text():
    return "a trainer"


def needs(rows, *others, seed=0, **options):
    return None


def leaves():
    sys.exit(3)


def parses_its_own():
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", default=1.0)
    parser.parse_args()
    return good()


def prints():
    print("building")
    return good()


def without_rows():
    trainer = good()
    trainer.train_dataset = None
    return trainer


def good():
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    arguments = TrainingArguments(output_dir="never-written", use_cpu=True, report_to="none")
    return Trainer(LlamaForCausalLM(LlamaConfig(vocab_size=8, **sizes)), arguments, train_dataset=[{"input_ids": [1]}])
"""


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the module ``my_training``; what is imported from it is forgotten afterwards."""
    (tmp_path / "my_training.py").write_text(SCRIPT, encoding="utf-8")
    (tmp_path / "broken_import.py").write_text("import no_package_of_this_name\n", encoding="utf-8")
    (tmp_path / "broken_syntax.py").write_text("def build(:\n", encoding="utf-8")
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in ("my_training", "broken_import", "broken_syntax"):
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory):
    return read_files(parse_reference("demo:tuned"), Access(tmp_path_factory.mktemp("cache"), True)).tokenizer


@pytest.fixture
def trainer(tokenizer, tmp_path):
    """A plain Trainer over the rows, every token supervised."""
    from transformers import DataCollatorForSeq2Seq

    from harness.inspection.stand_in import tiny_model

    encoded = [tokenizer.apply_chat_template(row, return_dict=False) for row in ROWS]
    return Trainer(
        model=tiny_model(tokenizer),
        args=TrainingArguments(output_dir=str(tmp_path), use_cpu=True, report_to="none", max_steps=2),
        train_dataset=[{"input_ids": ids, "labels": list(ids)} for ids in encoded],
        data_collator=DataCollatorForSeq2Seq(tokenizer),
        processing_class=tokenizer,
    )


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("my_training:raises", r"raises\(\) failed with RuntimeError: no data here \(at .*my_training.py:12\); put it"),
        ("my_training:gives_nothing", "returned NoneType, not a transformers Trainer"),
        ("my_training:gives_text", "returned str, not a transformers Trainer"),
        ("my_training:needs", r"needs\(\) needs rows, and it is called without arguments"),
        ("my_training:leaves", r"failed with SystemExit: 3 \(at .*my_training.py:\d+\)"),
        ("my_training:number", "has no function 'number'"),
        ("my_training:absent", "has no function 'absent'"),
        ("my_training:without_rows", "has no train_dataset"),
        ("broken_import:build", r"No module named 'no_package_of_this_name' \(at .*broken_import.py:1\)"),
        ("broken_syntax:build", r"SyntaxError: invalid syntax \(broken_syntax.py, line 1\)"),
        ("no_module_of_this_name:build", "importing no_module_of_this_name failed"),
    ],
)
def test_a_function_that_builds_no_trainer_is_one_sentence(script, spec, sentence):
    with pytest.raises(UsageError, match=sentence) as raised:
        users_trainer(spec, script)
    assert str(raised.value).startswith(f"--trainer {spec}: ")
    assert "\n" not in str(raised.value)


def test_a_script_may_print_and_sees_a_command_line_of_its_own(script, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["pytest", "suites/", "--trainer", "my_training:prints"])
    assert isinstance(users_trainer("my_training:prints", script), Trainer)
    assert isinstance(users_trainer("my_training:parses_its_own", script), Trainer)
    assert sys.argv[0] == "pytest"
    assert "building" in capsys.readouterr().out


class Stream(torch.utils.data.IterableDataset):
    """Rows without an end; ``read`` counts those that were handed out."""

    def __init__(self, row: dict[str, list[int]]) -> None:
        self.row, self.read = row, 0

    def __iter__(self) -> Iterator[dict[str, list[int]]]:
        while True:
            self.read += 1
            yield dict(self.row)


class Once(torch.utils.data.IterableDataset):
    """Rows that can be read one time."""

    def __init__(self, rows: list[dict[str, list[int]]]) -> None:
        self.rows = iter(rows)

    def __iter__(self) -> Iterator[dict[str, list[int]]]:
        return self.rows


def test_a_stream_is_read_as_far_as_it_is_looked_at(trainer):
    trainer.train_dataset = Stream(trainer.train_dataset[0])
    assert len(inspect_batches(trainer, limit=5).matches) == 5
    assert trainer.train_dataset.read <= 6


def test_a_stream_of_datasets_starts_anew_afterwards(trainer):
    from datasets import Dataset

    stream = Dataset.from_list(trainer.train_dataset).to_iterable_dataset()
    trainer.train_dataset = stream
    assert len(inspect_batches(trainer, limit=4).matches) == 4
    assert len(list(stream)) == len(ROWS)


def test_rows_that_can_be_read_once_are_left_to_the_training(trainer):
    rows = trainer.train_dataset
    trainer.train_dataset = Once(rows)
    with pytest.raises(UsageError, match=r"\(Once\) can be read only once"):
        collated(trainer, 4)
    assert list(trainer.train_dataset) == rows


def to_an_absent_device(rows):
    raise AssertionError("Torch not compiled with CUDA enabled")


def leaves(rows):
    sys.exit(1)


@pytest.mark.parametrize(
    ("collate", "sentence"),
    [
        (to_an_absent_device, r"\(to_an_absent_device\) fails .* CUDA enabled: train\(\) would fail"),
        (leaves, r"\(leaves\) fails .*SystemExit: 1"),
        (lambda rows: None, "fails on its own prepared rows with TypeError"),
        (lambda rows: {"input_ids": torch.ones(1, 2)}, "gives input_ids and no labels"),
        (lambda rows: {"pixel_values": 0, "labels": 1}, "gives pixel_values, labels and no input_ids"),
        (lambda rows: {}, "gives nothing and no input_ids and no labels"),
    ],
)
def test_a_collator_that_gives_no_batch_is_one_sentence(trainer, collate, sentence):
    trainer.data_collator = collate
    with pytest.raises(UsageError, match=sentence) as raised:
        inspect_batches(trainer)
    assert "\n" not in str(raised.value)


def test_a_processor_is_asked_for_its_tokenizer(trainer, tokenizer):
    trainer.processing_class = SimpleNamespace(tokenizer=tokenizer, image_processor=object())
    assert served_tokenizer(trainer).get_vocab() == tokenizer.get_vocab()
    trainer.processing_class = SimpleNamespace(model_input_names=["pixel_values"])
    with pytest.raises(UsageError, match=r"\(SimpleNamespace\) is no tokenizer and holds none"):
        inspect_batches(trainer)
    trainer.processing_class = None
    with pytest.raises(UsageError, match="has no tokenizer"):
        inspect_batches(trainer)


def test_a_model_is_run_on_short_rows_and_never_on_the_longest():
    batches = [
        Batch({"input_ids": torch.zeros(1, width)}, (), row)
        for row, width in enumerate((LONGEST_RUN + 2, 8, LONGEST_RUN + 1))
    ]
    assert light(batches) == [batches[1]]
    assert light([batches[0], batches[2]]) == [batches[2]]
    assert light([Batch({"input_ids": torch.zeros(1, LONGEST_AT_ALL + 1)}, (), 0)]) == []


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (rb'{"text": "half of \ud83d a smile"}', "holds half a character"),
        (b"hello", "not valid JSON at column 1"),
        ('{"text": "é"}'.encode("latin-1"), "not UTF-8 at byte 10"),
        (b'{"messages": null, "text": null}', "no usable columns"),
    ],
)
def test_a_line_that_cannot_be_a_row_is_named(tmp_path, line, sentence):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"text": "Once."}\n' + line)
    with pytest.raises(UsageError, match=rf"rows.jsonl:2: .*{sentence}"):
        read_rows(path)


def test_a_whole_pair_is_a_character(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"text": "a smile \N{SLIGHTLY SMILING FACE}"}), encoding="utf-8")
    assert read_rows(path) == [{"text": "a smile \N{SLIGHTLY SMILING FACE}"}]
