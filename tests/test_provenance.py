"""Where a number comes from: digests that follow content and names, versions, and the commit."""

import shutil
import subprocess

import pytest

from harness.provenance import TOKENIZER, WEIGHTS, commit, file_digest, files_digest, object_digest, versions


def write(folder, **files):
    folder.mkdir(exist_ok=True)
    for stem, content in files.items():
        (folder / stem.replace("__", ".")).write_text(content, encoding="utf-8")
    return folder


def test_a_files_digest_follows_names_and_contents_only(tmp_path):
    first = write(tmp_path / "a", model__safetensors="1", other__safetensors="2", config__json="{}")
    same = write(tmp_path / "b", other__safetensors="2", model__safetensors="1", config__json="[]")
    swapped = write(tmp_path / "c", model__safetensors="2", other__safetensors="1")
    renamed = write(tmp_path / "d", model__safetensors="1", another__safetensors="2")
    digest = files_digest(first, WEIGHTS)
    assert len(digest) == 16
    assert files_digest(same, WEIGHTS) == digest
    assert digest not in {files_digest(swapped, WEIGHTS), files_digest(renamed, WEIGHTS)}


def test_a_file_that_two_patterns_match_counts_once(tmp_path):
    folder = write(tmp_path / "a", tokenizer__json="{}")
    assert files_digest(folder, ("*.json", "tokenizer*")) == files_digest(folder, TOKENIZER) != ""


def test_nothing_to_digest_is_empty(tmp_path):
    assert files_digest(tmp_path, WEIGHTS) == ""


def test_a_file_digest_is_that_of_its_bytes(tmp_path):
    write(tmp_path, a="abc", b="abc", c="abd")
    assert file_digest(tmp_path / "a") == "ba7816bf8f01cfea"  # FIPS 180-2, appendix B.1
    assert file_digest(tmp_path / "a") == file_digest(tmp_path / "b") != file_digest(tmp_path / "c")


def test_an_object_digest_ignores_the_order_of_keys_and_not_that_of_lists(tmp_path):
    assert object_digest({"a": 1, "b": [1, 2]}) == object_digest({"b": [1, 2], "a": 1})
    assert object_digest({"b": [1, 2]}) != object_digest({"b": [2, 1]})
    assert object_digest({"a": 1}) != object_digest({"a": "1"})
    assert len(object_digest({"path": tmp_path, "half": "\ud83d"})) == 16


def test_versions_name_what_numbers_depend_on(monkeypatch):
    found = versions()
    assert found["python"].startswith("3.")
    assert {"torch", "transformers", "trl", "pytest-sft"} <= found.keys()
    monkeypatch.setattr("harness.provenance.PACKAGES", ("no-such-distribution",))
    assert versions()["no-such-distribution"] == "not installed"


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_a_commit_tells_whether_files_differ_from_it(tmp_path):
    def git(*arguments):
        identity = ["-c", "user.name=tester", "-c", "user.email=tester@example.org"]
        subprocess.run(["git", "-C", tmp_path, *identity, *arguments], check=True, capture_output=True)

    assert commit(tmp_path) == ""
    git("init")
    write(tmp_path, a="1")
    git("add", "a")
    git("commit", "-m", "first")
    clean = commit(tmp_path)
    assert len(clean) >= 7
    assert set(clean) <= set("0123456789abcdef")
    write(tmp_path, a="2")
    assert commit(tmp_path) == f"{clean}+changes"


def test_without_git_there_is_no_commit(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commit(tmp_path) == ""
