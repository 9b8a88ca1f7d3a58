"""One look at a saved checkpoint while its run goes on: the suites over it, by pytest, in a process of its own.

In its own process it is judged as it was saved, by the code that judges finished models, and it can leave nothing in
the run: no random state, no gradients, no hooks. That costs the memory of the models beside the run, and the seconds
that it takes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.records import Outcome

OF_TORCHRUN = (
    "RANK",
    "LOCAL_RANK",
    "LOCAL_WORLD_SIZE",
    "WORLD_SIZE",
    "GROUP_RANK",
    "ROLE_",
    "MASTER_",
    "TORCHELASTIC_",
)
OF_THE_RUN = (*OF_TORCHRUN, "ACCELERATE_", "FSDP_", "PYTEST_")
"""How environment variables begin that would make the new process take itself for a part of the run."""

JUDGED = (0, 1)
"""Exit statuses of pytest with which there are verdicts: nothing failed, or something did."""


@dataclass(frozen=True)
class Asked:
    """What every look runs: the suites, what they compare with, and further arguments of pytest."""

    suites: tuple[str, ...]
    base_model: str | None
    baselines: tuple[str, ...]
    fail_on: frozenset[Outcome]
    options: tuple[str, ...]
    folder: Path

    def command(self, *beside: str) -> list[str]:
        """The command line, without what only one look has."""
        base = ["--base-model", self.base_model] if self.base_model else []
        stored = [word for name in self.baselines for word in ("--baseline", name)]
        failing = ["--fail-on", ",".join(sorted(self.fail_on))]
        plugins = ["-p", "harness.plugin", "-p", "no:cacheprovider"]
        return [
            sys.executable,
            "-m",
            "pytest",
            *self.suites,
            *plugins,
            *base,
            *stored,
            *failing,
            *self.options,
            *beside,
        ]


@dataclass(frozen=True)
class Look:
    """What came of one look.

    ``verdicts`` are those of the report, as it has them in JSON; ``failed`` names cases that failed without one.
    ``broken`` says why there is nothing to judge by, and is empty where there is something.
    """

    step: int
    report: Path
    verdicts: tuple[Mapping[str, Any], ...] = ()
    failed: tuple[str, ...] = ()
    broken: str = ""

    def failing(self, fail_on: frozenset[Outcome]) -> tuple[Mapping[str, Any], ...]:
        """The verdicts with one of these outcomes."""
        return tuple(verdict for verdict in self.verdicts if verdict["outcome"] in fail_on)


def look_at(checkpoint: Path, asked: Asked, report: Path, *, step: int, alpha: float, threads: int) -> Look:
    """Run the suites over a checkpoint; what pytest prints is kept beside the report, as text.

    It raises nothing that would end the run: what goes wrong makes the look a broken one.
    """
    arguments = ["--model", str(checkpoint), "--alpha", f"{alpha:.6g}", "--report", str(report)]
    try:
        report.parent.mkdir(parents=True, exist_ok=True)
        report.unlink(missing_ok=True)
        status, output = _run(asked.command(*arguments), asked.folder, threads)
        report.with_suffix(".txt").write_text(output, encoding="utf-8")
        if status not in JUDGED or not report.is_file():
            return Look(step, report, broken=_last_word(output, status))
        told = json.loads(report.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return Look(step, report, broken=f"the report cannot be written or read ({error})")
    verdicts, failed = tuple(told["verdicts"]), tuple(each["case"] for each in told["broken"])
    compared = any(verdict["outcome"] != Outcome.NEW for verdict in verdicts)
    return Look(step, report, verdicts, failed, "" if compared else "nothing was compared")


def check_asked(asked: Asked) -> None:
    """See before a run begins that the suites can be collected with these options; raises UsageError where not."""
    model = ["--model", asked.base_model] if asked.base_model else []
    status, output = _run(asked.command("--collect-only", "-q", *model), asked.folder, threads=1)
    if status:
        raise UsageError(f"RegressionCallback: the suites cannot be run: {_last_word(output, status)}")


def _run(command: Sequence[str], folder: Path, threads: int) -> tuple[int, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(OF_THE_RUN)}
    done = subprocess.run(  # noqa: S603 - the user's own suites, by the interpreter that is running
        command,
        cwd=folder,
        env=kept | {"OMP_NUM_THREADS": str(threads)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    return done.returncode, done.stdout


def _last_word(output: str, status: int) -> str:
    """The sentence in which pytest says what is wrong: its first line of an error, else its last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(("ERROR", "E  ", "INTERNALERROR"))]
    said = (errors or lines[-1:] or ["it said nothing"])[0].removeprefix("ERROR: ")
    return f"{said} (pytest ended with {status})"
