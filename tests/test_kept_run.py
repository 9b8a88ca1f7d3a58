"""A run that was made before: it computes nothing, says the same, and tells the user so."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def measured(folder: Path, name: str, *arguments: str) -> dict:
    """Measure a little, record it as the baseline ``name``, and return the report."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "suites/test_forgetting.py", "suites/test_quality.py", "--limit", "6"),
            *("-k", "knowledge or prose or exact_match", "-q", "-p", "no:cacheprovider"),
            *("--cache-dir", str(folder / "cache"), "--report", str(folder / f"{name}.json")),
            *("--baseline", name, "--baseline-update", "--baseline-dir", str(folder / "baselines"), *arguments),
        ],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


def told(report: dict) -> list[str]:
    return [note for note in report["notes"] if "earlier runs" in note]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def first(place: Path) -> dict:
    return measured(place, "first")


def test_an_unchanged_run_computes_nothing_and_says_the_same(place, first):
    again = measured(place, "again")
    assert told(first) == []
    (note,) = told(again)
    assert re.fullmatch(r"\d\d+ answers were kept from earlier runs, 0 were computed \(all, with --no-cache\)", note)
    for part in ("measurements", "answers", "broken"):
        assert again[part] == first[part]
    kept = [(place / "baselines" / name / "samples.jsonl").read_bytes() for name in ("first", "again")]
    assert kept[0] == kept[1]
    summaries = [(place / "baselines" / name / "baseline.json").read_text() for name in ("first", "again")]
    assert summaries[0] == summaries[1]


def test_without_the_cache_everything_is_computed(place, first):
    report = measured(place, "fresh", "--no-cache")
    assert told(report) == []
    assert report["measurements"] == first["measurements"]


def test_workers_take_what_one_process_has_kept(place, first):
    (note,) = told(measured(place, "shared", "-n", "2"))
    assert ", 0 were computed" in note


def test_a_cache_that_cannot_be_used_is_a_note_and_the_numbers_are_the_same(place, first):
    (place / "broken" / "cache").mkdir(parents=True)
    (place / "broken" / "cache" / "answers").write_text("not a folder")
    report = measured(place / "broken", "anyway")
    assert len([note for note in report["notes"] if "the run went on without" in note]) == 1
    assert report["measurements"] == first["measurements"]
