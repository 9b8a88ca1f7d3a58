"""What comes before the first number: the model in memory, pytest's collection, and the static checks."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from timing import Part, Timed, in_turns, seconds, stopwatch

from harness.chat.probe import probe
from harness.inspection.mask import turns_are_supervised
from harness.inspection.matching import inspect_batches
from harness.inspection.stand_in import stand_in_trainer
from harness.models.fetch import checkpoint_folder
from harness.models.load import LoadOptions, load
from harness.models.local import LocalModel
from harness.references import Kind, ModelRef
from harness.rows import read_rows

ROOT = Path(__file__).parent.parent

IMPORTS = (
    "import datasets, evaluate, pytest, sacrebleu, torch, transformers, trl; "
    "from peft import get_peft_model; from rouge_score import rouge_scorer; from trl import SFTTrainer"
)
"""What every whole run of the suites waits for, whatever it does with them."""


def conversion(ref: ModelRef, options: LoadOptions) -> tuple[Path, Part | None]:
    """Return the checkpoint's folder, and what fetching and converting took where it was not in the cache."""
    before = _cached(options.access.cache)
    run = stopwatch(partial(checkpoint_folder, ref, options.access))()
    if _cached(options.access.cache) == before:
        return run.answer, None
    return run.answer, Part("fetch and convert", {"harness": (run.seconds,)}, "once; the result is kept in the cache")


def loading(ref: ModelRef, folder: Path, options: LoadOptions, repeats: int) -> tuple[LocalModel, Part]:
    """Return the model, and the time to load it; for an adapter there is no plain way to set beside it."""
    if ref.kind is Kind.ADAPTER:
        ours = in_turns({"harness": stopwatch(lambda: _loaded(ref, options))}, repeats)
        return ours["harness"][-1].answer, Part("load", seconds(ours), "an adapter on its base")
    ways: dict[str, Any] = {
        "harness": stopwatch(lambda: _loaded(ref, options)),
        "plain from_pretrained": partial(_plain_load, folder),
    }
    runs = in_turns(ways, repeats)
    return runs["harness"][-1].answer, Part(
        "load", seconds(runs), "weights and tokenizer; the harness takes digests too"
    )


def _loaded(ref: ModelRef, options: LoadOptions) -> LocalModel:
    model = load(ref, options)
    assert model.module is not None  # the weights are read when they are first asked for
    return model


def collection(repeats: int) -> Part:
    """CPU time of collecting the suites in a process of its own, beside pytest on a file with one empty case."""
    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder) / "test_nothing.py"
        empty.write_text("def test_nothing():\n    pass\n", encoding="utf-8")
        runs = in_turns(
            {
                "harness": stopwatch(partial(_collect, ROOT, "suites/"), _childrens_cpu),
                "pytest on one empty case": stopwatch(partial(_collect, Path(folder), empty.name), _childrens_cpu),
            },
            repeats,
        )
    return Part("collection", seconds(runs), f"CPU seconds; {runs['harness'][-1].answer}")


def unchanged_run(repeats: int) -> Part:
    """The embedded pair against its baseline: with a memory of the same run, and with none."""
    with tempfile.TemporaryDirectory() as folder:
        remembered = Path(folder) / "remembered"
        _run_of_the_demo(remembered)
        fresh = (Path(folder) / str(number) for number in range(repeats))
        runs = in_turns(
            {
                "harness": stopwatch(partial(_run_of_the_demo, remembered)),
                "harness, nothing remembered": stopwatch(lambda: _run_of_the_demo(next(fresh))),
                "imports alone": stopwatch(partial(python, "-c", IMPORTS)),
            },
            repeats,
        )
    times = seconds(runs)
    remark = f"pytest suites/ --baseline demo, wall time of the process, {beside(times)} of it beside the imports"
    return Part("unchanged re-run", times, remark)


def _run_of_the_demo(cache: Path) -> None:
    python("-m", "pytest", "suites/", "-q", "--baseline", "demo", "--cache-dir", str(cache))


def python(*arguments: str) -> None:
    """Run this interpreter at the root of the repository, as a user would."""
    done = subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 - fixed
    if done.returncode:
        sys.exit(f"{' '.join(arguments)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def beside(times: Mapping[str, tuple[float, ...]]) -> str:
    """How long the harness takes beside what it imports: the median of the differences within each round."""
    gaps = [whole - imports for whole, imports in zip(times["harness"], times["imports alone"], strict=True)]
    return f"{statistics.median(gaps):.1f} s"


def static_checks(tokenizer: Any, repeats: int) -> Part:
    """The probe of the chat template, and the masks of the bundled rows in a stand-in trainer's batches."""
    rows = read_rows(ROOT / "suites" / "data" / "training_rows.jsonl")
    runs = in_turns({"harness": stopwatch(partial(_inspect, tokenizer, rows))}, repeats)
    findings = runs["harness"][-1].answer
    return Part("static checks", seconds(runs), f"template probe, masks of {len(rows)} rows; findings: {findings}")


def _cached(cache: Path) -> set[Path]:
    return {path for path in cache.glob("*/*") if path.is_dir() and not path.name.endswith(".unfinished")}


def _plain_load(folder: Path) -> Timed[None]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    def from_pretrained() -> None:
        module = AutoModelForCausalLM.from_pretrained(
            folder, dtype="auto" if torch.cuda.is_available() else torch.float32
        )
        module.to("cuda" if torch.cuda.is_available() else "cpu").eval()
        AutoTokenizer.from_pretrained(folder)

    return stopwatch(from_pretrained)()


def _collect(folder: Path, target: str) -> str:
    """Collect and return pytest's last line."""
    # The project's own settings keep hypothesis' plugin out; so it must be for the file that has no settings.
    command = [sys.executable, "-m", "pytest", target, "--collect-only", "-q", "-p", "no:hypothesispytest"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)  # noqa: S603 - fixed
    return done.stdout.strip().splitlines()[-1].split(" in ")[0]


def _childrens_cpu() -> float:
    """CPU seconds, user and system, of all processes that this one has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _inspect(tokenizer: Any, rows: list[dict[str, Any]]) -> int:
    probe(tokenizer)
    return len(turns_are_supervised(inspect_batches(stand_in_trainer(tokenizer, rows), rows)))
