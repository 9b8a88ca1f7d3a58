"""The main job on the embedded pair, as ``make demo`` runs it: against the stored baseline, without a network."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def demo(folder: Path, *arguments: str) -> dict:
    """Run all suites from an empty cache and return the JSON report."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "suites/", "--baseline", "demo", "-q", "-p", "no:cacheprovider"),
            *("--cache-dir", str(folder / "cache"), "--report", str(folder / "report.json"), *arguments),
        ],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict:
    return demo(tmp_path_factory.mktemp("alone"), "-p", "no_network")


def test_the_stored_baseline_holds(alone):
    verdicts = [v for v in alone["verdicts"] if v["reference"] == "baseline demo"]
    outcomes = {v["measurement"]: v["outcome"] for v in verdicts}
    assert outcomes.pop("harmful_prompts/refusal_rate") == "not-informative"  # the demo has never learned to decline
    assert set(outcomes.values()) == {"unchanged"}
    assert {v["drop"] for v in verdicts} == {0.0}


def test_the_tuned_model_stops_answers_and_has_kept_most(alone):
    outcomes = {v["measurement"]: v["outcome"] for v in alone["verdicts"] if v["reference"] == "base model"}
    assert outcomes["stopping/stop_rate"] == outcomes["quality/bleu"] == "improved"
    assert outcomes["general_knowledge/acc"] in ("unchanged", "inconclusive")


def test_three_workers_say_all_that_one_process_says_in_the_same_order(alone, tmp_path):
    shared = demo(tmp_path, "-n", "3")
    own = {"peaks", "next_steps"}  # who held how much memory, and what to type
    for report in (shared, alone):
        report["environment"].pop("commit")  # somebody may change a file between the two runs
    assert {key: said for key, said in shared.items() if key not in own} == {
        key: said for key, said in alone.items() if key not in own
    }


def test_tuning_without_replay_is_seen_to_forget(tmp_path):
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "suites/test_forgetting.py", "-q", "-p", "no:cacheprovider"),
            *("--model", "demo:tuned-without-replay"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "general_knowledge acc regressed: 0.993 -> 0.885" in done.stdout
