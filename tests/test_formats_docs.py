"""Every block of code in docs/formats.md runs as it stands there."""

import re
from pathlib import Path

import pytest

from harness.chat.formats import FORMATS
from harness.training.recipe import load_recipe
from harness.training.run import train
from tiny_checkpoint import write_tiny_checkpoint

PAGE = (Path(__file__).parent.parent / "docs" / "formats.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.fixture
def beside_base(tmp_path, monkeypatch):
    write_tiny_checkpoint(tmp_path / "base", template=None)
    (tmp_path / "rows.jsonl").write_text('{"instruction": "Say it.", "input": "one", "output": "one"}\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("code", [code for language, code in BLOCKS if language == "python"])
def test_the_python_of_the_page_runs(beside_base, code):
    exec(compile(code, "docs/formats.md", "exec"), {})


def test_the_recipe_of_the_page_trains(beside_base):
    ((_, text),) = [block for block in BLOCKS if block[0] == "yaml"]
    (beside_base / "recipe.yaml").write_text(text)
    result = train(load_recipe(beside_base / "recipe.yaml"), lambda reference: reference, beside_base / "cache")
    assert result.manifest["rows"] == 1


def test_every_format_has_its_line():
    assert set(re.findall(r"^\| `([\w-]+)` \|", PAGE, flags=re.MULTILINE)) == set(FORMATS)
