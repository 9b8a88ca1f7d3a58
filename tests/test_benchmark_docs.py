"""docs/benchmark-sets.md: its table is the command's, and what it says to type can be typed."""

import re
from pathlib import Path

import pytest

from harness.__main__ import main
from harness.benchmarks.catalogue import BENCHMARKS, chosen
from harness.benchmarks.folder import files_of, split_files

PAGE = (Path(__file__).parent.parent / "docs" / "benchmark-sets.md").read_text(encoding="utf-8")


def test_the_table_is_what_the_command_prints(capsys):
    assert main(["benchmarks"]) == 0
    assert PAGE.endswith(capsys.readouterr().out)


@pytest.mark.parametrize("names", re.findall(r"--benchmarks (\S+)", PAGE))
def test_what_the_page_says_to_type_is_known(names):
    assert chosen(names)


EXAMPLES = {
    "ai2_arc/ARC-Easy/test-00000-of-00001.parquet": "arc_easy",
    "allenai___ai2_arc/ARC-Easy/0.0.0/.../ai2_arc-test.arrow": "arc_easy",
    "hellaswag/validation/data-00000-of-00001.arrow": "hellaswag",
    "piqa_validation.jsonl": "piqa",
    "piqa/valid.json": "piqa",
    "copa/val.csv": "copa",
    "ARC-V1-Feb2018-2/ARC-Easy/ARC-Easy-Test.jsonl": "arc_easy",
    "physicaliqa-train-dev/valid.jsonl": "piqa",
    "hendrycks_test/data/test/anatomy_test.csv": "mmlu",
    "COPA/val.jsonl": "copa",
    "TruthfulQA.csv": "truthfulqa_mc1",
    "mc_task.json": "truthfulqa_mc2",
}


def test_every_path_of_the_page_is_an_example_here():
    assert set(re.findall(r"`([^` ]+\.(?:parquet|arrow|jsonl|json|csv))`", PAGE)) == set(EXAMPLES)


@pytest.mark.parametrize(("path", "name"), EXAMPLES.items())
def test_the_paths_of_the_page_are_found(path, name, tmp_path):
    file = tmp_path / path.replace("...", "4f0a")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"")
    benchmark = BENCHMARKS[name]
    (found,) = split_files(files_of(tmp_path, benchmark), benchmark, benchmark.split)
    assert found.path == file
