"""``-m preflight`` as a user types it: no weights are read, nothing is trained; the report names what was looked at."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tiny_checkpoint import write_tiny_checkpoint

ROOT = Path(__file__).parent.parent

ROWS = [
    {"messages": [{"role": "user", "content": f"Is shop {n} open?"}, {"role": "assistant", "content": f"Yes, {n} is."}]}
    for n in range(8)
]

TRAINER = """
def build():
    from trl import SFTConfig, SFTTrainer
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer

    rows = [{{"prompt": row["messages"][:1], "completion": row["messages"][1:]}} for row in {rows}]
    return SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained({folder!r}),
        args=SFTConfig(output_dir={out!r}, use_cpu=True, bf16=False, report_to="none"),
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained({folder!r}),
    )
"""


def report_of(tmp_path: Path, *arguments: object) -> tuple[dict[str, object], str]:
    """What the run says in JSON and on the terminal; cases of the tiny checkpoint may fail, the run itself may not."""
    path = tmp_path / "report.json"
    options = ["--report", path, "--cache-dir", tmp_path / "cache"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--offline", *options, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert " error" not in done.stdout.splitlines()[-1]
    return json.loads(path.read_text(encoding="utf-8")), done.stdout


def test_only_the_header_of_the_weights_is_needed(tmp_path):
    folder = write_tiny_checkpoint(tmp_path / "tiny")
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: 8 + int.from_bytes(whole[:8], "little")])
    rows = tmp_path / "rows.jsonl"
    rows.write_text("\n".join(map(json.dumps, ROWS)), encoding="utf-8")
    report, _ = report_of(tmp_path, "suites/", "-m", "preflight", "--model", folder, "--train-data", rows)
    assert report["environment"]["tokenizer"] == str(folder)
    # The tiny model ends a turn with another token than it stops at: a finding, made without its weights.
    assert [each["case"].partition("::")[2] for each in report["broken"]] == [
        "test_generation_stops_where_the_template_ends_a_turn"
    ]


def test_a_recipe_is_inspected_and_not_trained(tmp_path):
    folder = write_tiny_checkpoint(tmp_path / "tiny")
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, ROWS)), encoding="utf-8")
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"model_name_or_path: {folder}\ndataset_name: rows.jsonl\nmax_steps: 1\n", encoding="utf-8")
    report, _ = report_of(tmp_path, "suites/test_template.py", "--recipe", recipe)
    assert report["environment"]["tokenizer"] == f"the one that {recipe} trains with"
    assert not (tmp_path / "cache" / "trained").exists()


def test_a_trainer_is_looked_at_itself_and_no_model_is_asked_in_its_place(tmp_path, monkeypatch):
    folder = write_tiny_checkpoint(tmp_path / "tiny")
    script = TRAINER.format(rows=ROWS, folder=str(folder), out=str(tmp_path / "out"))
    (tmp_path / "their_training.py").write_text(script, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    spec = "their_training:build"
    report, printed = report_of(tmp_path, "suites/test_template.py", "suites/test_quality.py", "-rs", "--trainer", spec)
    assert report["environment"]["tokenizer"] == f"the one that {spec} trains with"
    assert report["config"]["model"] == spec
    assert report["measurements"] == []
    assert "give --model as well" in printed
