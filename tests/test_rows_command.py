"""``python -m harness rows``: rows as they were written and as tokens, and sentences where that cannot be."""

import json

import pytest

from harness.__main__ import main


def shown(capsys, *arguments):
    status = main(["rows", *map(str, arguments)])
    told = capsys.readouterr()
    return status, told.out, told.err


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "rows.jsonl"
    lines = [{"prompt": f"Say {n}.", "completion": f" number {n}"} for n in range(20)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def test_rows_are_shown_as_they_were_written(capsys, rows):
    status, out, _ = shown(capsys, rows, "--limit", 2)
    assert status == 0
    assert "row 0" in out
    assert "Say 1." in out
    assert "2 of 20 rows" in out
    assert "--model REF" in out


def test_learned_tokens_stand_between_brackets_and_are_counted(capsys, rows):
    status, out, _ = shown(capsys, rows, "--limit", 1, "--model", "demo:tuned")
    assert status == 0
    assert "⟦ number 0" in out
    assert "of them learned (between ⟦ and ⟧)" in out
    _, apart, _ = shown(capsys, rows, "--limit", 1, "--model", "demo:tuned", "--tokens")
    assert apart.count("│") > 3


def test_a_seed_chooses_the_same_rows_again(capsys, rows):
    _, first, _ = shown(capsys, rows, "--limit", 3, "--seed", 7)
    _, again, _ = shown(capsys, rows, "--limit", 3, "--seed", 7)
    _, other, _ = shown(capsys, rows, "--limit", 3, "--seed", 8)
    assert first == again != other


def test_what_is_written_in_a_row_does_nothing_to_the_terminal(capsys, tmp_path):
    path = tmp_path / "rows.jsonl"
    said = "\x1b[2J[bold red]a\x07\u202e⟦b⟧"
    path.write_text(json.dumps({"prompt": said, "completion": said}) + "\n", encoding="utf-8")
    status, out, _ = shown(capsys, path, "--model", "demo:tuned")
    assert status == 0
    assert not set(out) & set("\x1b\x07\u202e")
    assert r"\x1b[2J[bold red]a\x07\u202e" in out
    assert r"\u27e6b\u27e7" in out


@pytest.mark.parametrize(
    ("arguments", "status", "sentence"),
    [
        ([], 2, "give one of FILE and --recipe FILE"),
        (["rows.jsonl", "--recipe", "r.yaml"], 2, "give one of FILE and --recipe FILE"),
        (["--recipe", "r.yaml", "--model", "demo:base"], 2, "leave --model out"),
        (["rows.jsonl", "--limit", "0"], 2, "--limit 0: a whole number of 1 or more."),
        (["nothing.jsonl"], 2, "nothing.jsonl: cannot be read"),
    ],
)
def test_what_cannot_be_shown_is_one_sentence(capsys, arguments, status, sentence):
    ended, out, err = shown(capsys, *arguments)
    assert (ended, out, len(err.splitlines())) == (status, "", 1)
    assert sentence in err
