"""A hundred kills: SIGKILL at random moments of a small run, and the same command again, until the run is whole.

python benchmarks/kills.py                                # 100 kills of one process, 10 of a run with two workers
python benchmarks/kills.py --output docs/benchmarks-kills.md

One process imports everything and forks the runs, so that no kill waits for imports; a run with workers imports anew in
each. A run is killed with its whole process group. It writes the key of every answer down, outside the store, when the
store has returned; after the kill each of these answers must be in the store, whole, and none of them may be computed
again by the run that resumes. Exits with 1 where an answer is lost, computed twice, or a file is damaged.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import math
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from killed_run import Run

from harness.store import Store

IN_A_ROW = 5
"""How often a run is killed before it is left alone to its end."""

NOISE = 1e-5
"""What the gate calls equal: which rows were computed together moves the last digits."""

HEADS = (
    "run",
    "kills",
    "runs brought to their end",
    "answers kept when killed",
    "lost",
    "computed twice",
    "damaged files",
    "other reports",
    "files left over",
)


@dataclass
class Tally:
    """What was found."""

    name: str
    kills: int = 0
    ends: int = 0
    kept: int = 0
    lost: int = 0
    twice: int = 0
    damaged: int = 0
    others: int = 0
    litter: int = 0
    faults: list[str] = field(default_factory=list)

    def row(self) -> tuple[str, ...]:
        """The cells under ``HEADS``."""
        numbers = (self.kills, self.ends, self.kept, self.lost, self.twice, self.damaged, self.others, self.litter)
        return (self.name, *(f"{number:,}" for number in numbers))

    def look(self, run: Run) -> None:
        """Look at everything that a killed run has left."""
        self.kills += 1
        taken = set(run.taken)
        store = Store(run.folder / "cache" / "answers")
        lost = len(taken) - len(store.get(sorted(taken)))
        self.kept += len(taken)
        self.lost += lost
        wrong = [*store.notes, *run.damage()]
        self.damaged += len(wrong)
        self.faults += [f"{lost} answers are lost"] * bool(lost) + wrong

    def finish(self, run: Run, reference: Run, status: int | None) -> None:
        """Hold a run that came to its end against one that nobody has killed."""
        self.ends += 1
        if not run.workers:  # two workers may compute the same answer at the same time
            taken = run.taken
            self.twice += len(taken) - len(set(taken))
        left = {name for name in run.files - reference.files if not name.endswith("-journal")}
        self.litter += len(left)
        differs = [f"exit status {status}"] if status else list(differences(run.report(), reference.report()))
        self.others += bool(differs)
        self.faults += differs[:1] + sorted(left)[:1]


def differences(one: Any, other: Any, where: str = "report") -> Iterator[str]:
    """Where two reports differ by more than the noise of another batch."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        for key in one:
            yield from differences(one[key], other[key], f"{where}/{key}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, (left, right) in enumerate(zip(one, other, strict=True)):
            yield from differences(left, right, f"{where}/{number}")
    elif isinstance(one, float) and isinstance(other, float):
        if not math.isclose(one, other, rel_tol=NOISE, abs_tol=NOISE):
            yield f"{where}: {one} and {other}"
    elif one != other:
        yield f"{where}: {str(one)[:60]} and {str(other)[:60]}"


def ended(process: int, seconds: float | None = None) -> int | None:
    """The exit status of a run, None where it had to be killed after so many seconds."""
    until = math.inf if seconds is None else time.monotonic() + seconds
    while time.monotonic() < until:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.killpg(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return None


def killed(kills: int, workers: int, seed: int, scratch: Path) -> Tally:
    """Kill runs so often, each some times in a row before it may end."""
    chance = random.Random(seed)
    reference = Run(_new(scratch / "reference"), workers)
    began = time.monotonic()
    status = ended(reference.start())
    whole = time.monotonic() - began
    if status != 0:
        raise SystemExit((reference.folder / "output.txt").read_text(encoding="utf-8"))
    tally = Tally(f"{workers} workers" if workers else "one process")
    for number in itertools.count():
        run = Run(_new(scratch / str(number)), workers)
        status = None
        for _ in range(min(IN_A_ROW, kills - tally.kills)):
            status = ended(run.start(), chance.uniform(0, whole))
            if status is not None:
                break
            tally.look(run)
        tally.finish(run, reference, ended(run.start()) if status is None else status)
        if tally.kills == kills:
            return tally
    raise AssertionError("counting never ends")


def _new(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def main() -> None:
    """Kill, look, and say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--kills", type=int, default=100, metavar="N", help="kills of a run in one process (default 100)")
    add("--with-workers", type=int, default=10, metavar="N", help="kills of a run with -n 2 (default 10)")
    add("--seed", type=int, default=0, metavar="S", help="of the random moments")
    add("--output", type=Path, metavar="FILE.md", help="write the table there as Markdown")
    asked = parser.parse_args()
    _warm()
    with tempfile.TemporaryDirectory(prefix="kills-") as scratch:
        plan = ((asked.kills, 0), (asked.with_workers, 2))
        found = [killed(kills, workers, asked.seed, Path(scratch) / str(workers)) for kills, workers in plan if kills]
    from showing import markdown_table, show_table, written_by

    rows = [each.row() for each in found]
    show_table(HEADS, rows)
    if asked.output:
        lines = ["# A hundred kills", "", *written_by(), *markdown_table(HEADS, rows, "--|" + "--:|" * 7 + "--:"), ""]
        asked.output.write_text("\n".join(lines), encoding="utf-8")
    faults = [f"{each.name}: {fault}" for each in found for fault in each.faults]
    sys.exit("\n".join(faults[:20]) or 0)


def _warm() -> None:
    """Import what a run imports; nothing is computed here, since threads do not survive a fork.

    The models are so small that more than one thread only waits.
    """
    os.environ["OMP_NUM_THREADS"] = "1"
    import evaluate  # noqa: F401
    import peft  # noqa: F401
    import trl  # noqa: F401

    import harness.metrics
    import harness.models.load
    import harness.plugin  # noqa: F401

    gc.freeze()


if __name__ == "__main__":
    main()
