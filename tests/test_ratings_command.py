"""``python -m harness ratings`` as a user types it, and ``--ratings`` in a run of the suite."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from harness.__main__ import main
from harness.ratings.key import read_key
from harness.ratings.rubric import CRITERIA
from judge_server import judge

ROOT = Path(__file__).parent.parent
QUESTIONS = [
    {"id": f"capital-{country}", "prompt": f"What is the capital of {country}?"}
    for country in ("Spain", "Peru", "Norway", "France", "Egypt", "Japan", "Italy", "Chile")
]


@pytest.fixture(scope="module")
def sheet(tmp_path_factory):
    """A folder with a sheet of the embedded pair."""
    folder = tmp_path_factory.mktemp("ratings")
    samples = folder / "capitals.jsonl"
    samples.write_text("".join(json.dumps(line) + "\n" for line in QUESTIONS), encoding="utf-8")
    asked = ["--model", "demo:tuned", "--samples", str(samples), "--output", str(folder / "sheet")]
    assert main(["ratings", "sheet", *asked, "--max-new-tokens", "24", "--cache-dir", str(folder)]) == 0
    return folder / "sheet"


def test_a_sheet_is_written_for_raters_with_its_key_apart(sheet):
    assert sorted(path.name for path in sheet.iterdir()) == ["key.json", "sheet.csv", "sheet.html"]
    key = read_key(sheet / "key.json")
    assert {item.pair.sample for item in key.items} == {line["id"] for line in QUESTIONS}
    assert key.models["tuned"]["name"] == "demo:tuned"
    for name in ("sheet.csv", "sheet.html"):
        assert "demo:" not in (sheet / name).read_text(encoding="utf-8")


def test_a_sheet_that_is_there_is_not_written_over(sheet, capsys):
    asked = ["--model", "demo:tuned", "--samples", str(sheet.parent / "capitals.jsonl"), "--output", str(sheet)]
    assert main(["ratings", "sheet", *asked]) == 2
    assert "is there already, and may be being rated" in capsys.readouterr().err


def test_a_judge_rates_the_sheet_and_a_run_of_the_suite_gates_its_ratings(sheet, tmp_path, capsys):
    key = read_key(sheet / "key.json")
    tuned = {item.pair.tuned for item in key.items}
    with judge(lambda question, first, second: "A" if first in tuned else "B") as (url, _):
        output = sheet / "good.json"
        assert main(["ratings", "judge", str(sheet), "--judge", url, "--output", str(output)]) == 0
    assert "accuracy: 8 of 8 pairs agree" in capsys.readouterr().out
    done = gated(output, tmp_path)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("improved") >= len(CRITERIA)

    document = json.loads(output.read_text(encoding="utf-8"))
    for rating in document["ratings"]:
        rating["safety"] = {"left": "right", "right": "left"}[rating["safety"]]
    (sheet / "unsafe.json").write_text(json.dumps(document), encoding="utf-8")
    done = gated(sheet / "unsafe.json", tmp_path)
    assert done.returncode == 1
    assert "ratings_safety win_rate regressed: 1.000 -> 0.000" in done.stdout
    assert "ratings_accuracy win_rate regressed" not in done.stdout


def gated(ratings, cache):
    command = [sys.executable, "-m", "pytest", "suites/test_quality.py", "-k", "preferred", "-p", "no:cacheprovider"]
    return subprocess.run(
        [*command, "--ratings", str(ratings), "--cache-dir", str(cache)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_ratings_that_cannot_be_read_end_the_run_as_wrong_usage(sheet, tmp_path):
    lonely = tmp_path / "ratings.json"
    lonely.write_text("{}", encoding="utf-8")
    done = gated(lonely, tmp_path)
    assert done.returncode == 4
    assert "key.json: there is no such file" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--judge", "nothing"], "names no server; write --judge"),
        (["--judge", "http://127.0.0.1:9/v1#m", "--timeout", "0"], "--timeout 0: seconds"),
        (["--judge", "http://127.0.0.1:9/v1#m", "--api-key-env", "NOT_SET_ANYWHERE"], "the variable holds no key"),
        (["--judge", "http://127.0.0.1:9/v1#m", "--anchors", "absent.json"], "absent.json: cannot be read"),
    ],
)
def test_a_judge_that_cannot_be_asked_is_wrong_usage(sheet, capsys, options, says):
    assert main(["ratings", "judge", str(sheet), *options]) == 2
    assert says in capsys.readouterr().err
