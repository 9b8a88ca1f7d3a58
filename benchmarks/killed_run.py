"""A small run in a process group of its own, to be killed: how it is started, and what it leaves.

As a plugin of the run, ``-p killed_run``, this module writes the key of every answer down when the store has taken it.
"""

from __future__ import annotations

import itertools
import json
import os
import sqlite3
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness import baselines
from harness.errors import HarnessError
from harness.store import Store

ROOT = Path(__file__).parent.parent

SUITES = ("suites/test_forgetting.py", "suites/test_stopping.py", "suites/test_quality.py")
MEASURING = "knowledge or prose or references or often or declined"
"""The cases of these suites that ask models and measure, and not those that look at the engine."""

BESIDE_THE_POINT = ("cacheprovider", "anyio", "unraisableexception")
"""Plugins that only take time here."""

LIMIT = 16
"""Samples of each set: a run of seconds."""

WITNESS = "KILLS_WITNESS"
KEY = 32
"""Bytes of a key."""


def pytest_configure() -> None:
    """As a plugin of a run or worker, ``-p killed_run``: write down the keys of answers that the store has taken."""
    witness = os.open(os.environ[WITNESS], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    add = Store.add

    def told(self: Store, rows: Mapping[bytes, bytes]) -> None:
        add(self, rows)
        os.write(witness, b"".join(rows))

    Store.add = told


@dataclass(frozen=True)
class Run:
    """Where a run keeps its things, and what it has said so far."""

    folder: Path
    workers: int

    @property
    def witness(self) -> Path:
        """Where the keys are written down."""
        return self.folder / "witness"

    @property
    def taken(self) -> list[bytes]:
        """The keys of the answers that the store has taken, in the order in which it did."""
        raw = self.witness.read_bytes() if self.witness.exists() else b""
        return [raw[start : start + KEY] for start in range(0, len(raw) - KEY + 1, KEY)]

    @property
    def files(self) -> set[str]:
        """What lies in the folders that outlive a run."""
        kept = (self.folder / each for each in ("cache", "baselines", "reports"))
        return {str(file.relative_to(self.folder)) for each in kept for file in each.rglob("*") if file.is_file()}

    def arguments(self) -> list[str]:
        """The command line of the run."""
        return [
            *SUITES,
            *("-k", MEASURING, "--limit", str(LIMIT), "-p", "killed_run", "-q", "--assert", "plain"),
            *itertools.chain.from_iterable(("-p", f"no:{plugin}") for plugin in BESIDE_THE_POINT),
            *("--cache-dir", str(self.folder / "cache"), "--report", str(self.folder / "reports" / "report.json")),
            *("--baseline", "killed", "--baseline-update", "--baseline-dir", str(self.folder / "baselines")),
            *(("-n", str(self.workers)) if self.workers else ()),
        ]

    def start(self) -> int:
        """Start the run in a process group of its own; return its id."""
        scratch = self.folder / "tmp"
        scratch.mkdir(exist_ok=True)
        process = os.fork()
        if process:
            os.setpgid(process, process)  # both do it, since nobody knows who comes first
            return process
        os.setpgid(0, 0)
        os.chdir(ROOT)
        os.environ |= {WITNESS: str(self.witness), "TMPDIR": str(scratch), "PYTHONPATH": os.pathsep.join(sys.path)}
        tempfile.tempdir = None
        output = os.open(self.folder / "output.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os._exit(int(pytest.main(self.arguments())))

    def report(self) -> Any:
        """What the report says, without what is of the moment."""
        told = json.loads((self.folder / "reports" / "report.json").read_text(encoding="utf-8"))
        return {key: told[key] for key in ("measurements", "verdicts", "broken", "answers")}

    def damage(self) -> Iterator[str]:
        """What is wrong with the files: a store that is not sound, a baseline or a report that is there in part."""
        for file in (self.folder / "cache").rglob("*.sqlite"):
            with closing(sqlite3.connect(file)) as opened:
                (found,) = opened.execute("PRAGMA integrity_check").fetchone()
            if found != "ok":
                yield f"{file.name}: {found}"
        try:
            if baselines.exists(self.folder / "baselines", "killed"):
                baselines.load(self.folder / "baselines", "killed")
            if (report := self.folder / "reports" / "report.json").exists():
                json.loads(report.read_text(encoding="utf-8"))
        except (HarnessError, ValueError) as error:
            yield str(error)
