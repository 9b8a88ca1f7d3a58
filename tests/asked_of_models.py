"""A pytest plugin of these tests: it writes down what each case has asked of a model, and who has loaded weights."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

WRITTEN_TO = "ASKED_OF_MODELS"
"""The environment variable that names the file: a line of JSON for each case."""

CALLS: list[str] = []

Case = dict[str, Any]
ROOT = Path(__file__).parent.parent


def run_suites(folder: Path, *arguments: str) -> tuple[subprocess.CompletedProcess[str], list[Case]]:
    """Run suites of this repository from an empty cache; what each case asked comes with the finished process."""
    written = folder / "asked.jsonl"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "asked_of_models"),
            *("--cache-dir", str(folder / "cache"), *arguments),
        ],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}", WRITTEN_TO: str(written)},
        capture_output=True,
        text=True,
        check=False,
    )
    lines = written.read_text(encoding="utf-8").splitlines() if written.exists() else []
    return done, [json.loads(line) for line in lines]


def written_down(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(call)
    def asked(*arguments: Any, **options: Any) -> Any:
        CALLS.append(name)
        return call(*arguments, **options)

    return asked


def pytest_configure(config: pytest.Config) -> None:
    from transformers import AutoModelForCausalLM

    from harness.models.local import LocalModel

    for name in ("generate", "loglikelihood", "token_losses"):
        setattr(LocalModel, name, written_down(name, getattr(LocalModel, name)))
    read_weights = AutoModelForCausalLM.from_pretrained

    def from_pretrained(*arguments: Any, **options: Any) -> Any:
        loaded = read_weights(*arguments, **options)
        module = loaded[0] if isinstance(loaded, tuple) else loaded
        if module.device.type != "meta":
            CALLS.append("load")
        return loaded

    AutoModelForCausalLM.from_pretrained = from_pretrained


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    from harness.plugin.ordering import work_of

    CALLS.clear()
    done = yield
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    line = json.dumps({"case": item.nodeid, "work": int(work_of(item)), "calls": CALLS, "worker": worker})
    with Path(os.environ[WRITTEN_TO]).open("a", encoding="utf-8") as file:  # several processes: a line is one write
        file.write(f"{line}\n")
    return done
