"""The data suite as a user runs it: rows from a file, from a recipe and from a trainer, beside samples of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.dataset.leaks import no_evaluation_sample_is_trained_on
from harness.findings import silent
from harness.inspection.matching import inspect_batches
from harness.inspection.said_rows import said
from harness.zoo.parts import MARKED, sft_trainer
from harness.zoo.train_data import HELD_OUT, TRAINED

ROOT = Path(__file__).parent.parent

TRAINERS = """
from harness.zoo.parts import CHATML, sft_trainer
from harness.zoo.train_data import HELD_OUT, TRAINED

def leaking():
    trainer, held_out = sft_trainer(CHATML, [*TRAINED, HELD_OUT[0]]), sft_trainer(CHATML, HELD_OUT)
    trainer.eval_dataset = held_out.train_dataset
    return trainer
"""


@pytest.fixture
def place(tmp_path):
    (tmp_path / "my_training.py").write_text(TRAINERS, encoding="utf-8")
    write(tmp_path / "clean.jsonl", TRAINED)
    write(tmp_path / "leaking.jsonl", [*TRAINED, HELD_OUT[0]])
    samples = (
        {"id": f"note-{n}", "messages": row["messages"][:2], "target": row["messages"][2]["content"]}
        for n, row in enumerate(HELD_OUT)
    )
    write(tmp_path / "held_out.jsonl", samples)
    recipe = "model_name_or_path: demo:base\ndataset_name: leaking.jsonl\nmax_steps: 1\nuse_cpu: true\n"
    (tmp_path / "recipe.yaml").write_text(recipe, encoding="utf-8")
    return tmp_path


def write(path, lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def run(place, *arguments):
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "suites/test_data.py",
            "-q",
            "-p",
            "no:cacheprovider",
            "--offline",
            *arguments,
        ],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(place), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stdout + done.stderr
    return done.returncode, done.stdout


@pytest.mark.parametrize("rows", [("--train-data", "{}/leaking.jsonl"), ("--recipe", "{}/recipe.yaml")])
def test_a_leak_into_the_users_rows_fails_and_names_row_and_sample(place, rows):
    status, output = run(place, rows[0], rows[1].format(place), "--samples", str(place / "held_out.jsonl"))
    assert status == 1, output
    assert f"held_out: note-0 in row {len(TRAINED)}" in output
    assert "1 failed, 8 passed" in output


def test_clean_rows_pass(place):
    given = ("--train-data", str(place / "clean.jsonl"), "--samples", str(place / "held_out.jsonl"))
    status, output = run(place, *given)
    assert status == 0, output
    assert "9 passed" in output


def test_a_trainers_evaluation_rows_are_looked_for_among_its_training_rows(place):
    status, output = run(place, "--trainer", "my_training:leaking")
    assert status == 1, output
    assert f"eval_dataset: row 0 in row {len(TRAINED)}" in output


@pytest.mark.parametrize("columns", [("messages",), ("input_ids", "labels"), ("prompt", "completion")])
@pytest.mark.parametrize("leaks", [False, True])
def test_preflight_reads_the_rows_of_a_trainer_with_their_text_and_without(columns, leaks):
    shape = as_prompt_and_completion if "prompt" in columns else dict
    rows = [*TRAINED, *HELD_OUT[:leaks]]
    trainer, held_out = (sft_trainer(MARKED, list(map(shape, given))) for given in (rows, HELD_OUT))
    kept = sorted({"input_ids", *({"labels"} & set(trainer.train_dataset.column_names)), *columns})
    trainer.train_dataset = trainer.train_dataset.select_columns(kept)
    trainer.eval_dataset = held_out.train_dataset.select_columns(kept)
    read = said(trainer, inspect_batches(trainer))
    assert (len(read.rows), len(read.samples[0])) == (len(rows), len(HELD_OUT))
    assert bool(no_evaluation_sample_is_trained_on(read, silent)) == leaks


def as_prompt_and_completion(row):
    return {"prompt": row["messages"][:2], "completion": row["messages"][2:]}


def test_without_rows_of_the_users_the_suite_says_how_to_name_them(place):
    status, output = run(place, "-rs")
    assert status == 0
    assert "no training rows to look at" in output
