"""A run by several processes (``-n N``): a model is loaded by one of them, or by one for each GPU.

The others look at what needs no weights. So it is where the user leaves the distribution to us; with a ``--dist`` of
the user's own xdist divides the cases as it says, and each process still has a GPU of its own.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.errors import UsageError
from harness.plugin.devices import VISIBLE, gpus
from harness.plugin.gathering import is_case
from harness.plugin.options import Options
from harness.plugin.ordering import WEIGHTS, fixtures_of, work_of
from harness.plugin.state import OPTIONS

if TYPE_CHECKING:
    from xdist.scheduler import Scheduling

COMPUTING = "sft_computing"
"""How many workers load a model: what the process above tells each of them, where it divides the cases itself."""

FOLDER = "sft_parts"
"""Where each worker writes down which of its cases belong together, for the process above, which collects none."""

MODEL = "model"
"""How the names of the parts begin that need the weights of a model."""

GPU = pytest.StashKey[str]()
"""The GPU that this worker was given, where there are several."""

MADE_ONCE = {"access", "saved", "trainer"}
"""Fixtures that import what models need, once a process: that takes longer than all the checks that use them."""

BRINGS_A_MODEL = {"trainer", "saved", "loop", "dataset", "model_ref"}
"""Fixtures that build or train a model where the run has a recipe or a trainer."""


@pytest.hookimpl(wrapper=True)
def pytest_cmdline_main(config: pytest.Config) -> Generator[None, object, object]:
    """See what the user leaves open, before xdist fills it in."""
    option = config.option
    if getattr(option, "numprocesses", None) and option.dist == "no" and not option.distload:
        config.pluginmanager.register(Above(config), "sft-above-workers")
    return (yield)


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Give a worker its GPU, and tell its threads how to wait, while nothing has looked at either."""
    worker = _worker(config)
    if worker is None:
        return
    # Threads that spin while they wait keep the others' off the cores: on busy ones the demo took over four times as
    # long so. torch's library of threads reads this when it is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    visible = gpus(config.stash[OPTIONS].device)
    if len(visible) > 1:
        config.stash[GPU] = os.environ[VISIBLE] = visible[number_of(worker["workerid"]) % len(visible)]


class Above:
    """xdist's hooks in the process above the workers."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        # xdist's own groups travel in the ids of the cases, which reports and baselines would then show.
        folder = tempfile.TemporaryDirectory(prefix="pytest-sft-parts-")
        config.add_cleanup(folder.cleanup)
        self.folder = Path(folder.name)

    @property
    def computing(self) -> int:
        """How many workers may load a model: one a GPU, and one without any."""
        return max(1, len(gpus(self.config.stash[OPTIONS].device)))

    def pytest_configure_node(self, node: Any) -> None:
        """Tell a worker that is about to start."""
        computing = min(self.computing, int(node.workerinput["workercount"]))
        node.workerinput |= {COMPUTING: computing, FOLDER: str(self.folder)}

    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: Any) -> Scheduling:
        """Hand out the parts that the workers name."""
        from harness.plugin.parts import Parts

        return Parts(config, log, self.computing, self.folder)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Write down which cases belong together, before xdist tells the process above that they are collected."""
    worker = _worker(session.config)
    if worker is not None and FOLDER in worker:
        named = parts(session.items, session.config.stash[OPTIONS], worker)
        (Path(worker[FOLDER]) / worker["workerid"]).write_text(json.dumps(list(named)), encoding="utf-8")


def parts(items: Sequence[pytest.Item], options: Options, worker: Mapping[str, Any]) -> Iterator[str]:
    """The name of each case's part, the same in all workers.

    All that need a model are one part; where several workers may load one, those of a file that make it do the same,
    since they share answers. All that look at a tokenizer or a trainer are one part as well: over three workers the
    demo's took twice the time of one. Other cases stay together by file, and tests that are no cases of a suite go in
    pieces, four to a worker.
    """
    numbers: dict[tuple[object, ...], int] = {}
    strangers = sum(not is_case(item) for item in items)
    piece = max(1, strangers // (4 * int(worker["workercount"])))
    seen = 0
    for item in items:
        key: tuple[object, ...]
        if needs_weights(item, options):
            key = (MODEL,) if int(worker[COMPUTING]) == 1 else (MODEL, item.path, work_of(item))
        elif is_case(item):
            key = ("files",) if fixtures_of(item) & MADE_ONCE else ("files", item.path)
        else:
            key = ("tests", seen // piece)
            seen += 1
        yield f"{key[0]}-{numbers.setdefault(key, len(numbers))}"


def needs_weights(item: pytest.Item, options: Options) -> bool:
    """Whether a case loads a model: the one under test, or one that a recipe or a trainer brings along."""
    asked = fixtures_of(item)
    brought = BRINGS_A_MODEL if options.recipe is not None or options.trainer is not None else set()
    return bool(asked & {"model", *brought}) or item.get_closest_marker(WEIGHTS) is not None


def share_machine(config: pytest.Config) -> None:
    """Let a worker have its share of the cores, and see that it has the GPU that it was given.

    Workers that load no model need one thread.
    """
    worker = _worker(config)
    if worker is None:
        return
    import torch

    number, workers = number_of(worker["workerid"]), int(worker["workercount"])
    computing = int(worker.get(COMPUTING, workers))
    computes = number < computing or number >= workers  # one that replaces another may get its part
    torch.set_num_threads(max(1, torch.get_num_threads() // computing) if computes else 1)
    if GPU in config.stash and not torch.cuda.is_available():
        raise UsageError(
            f"worker {worker['workerid']} was given GPU {config.stash[GPU]}, where torch sees none; name those that "
            f"it can use in {VISIBLE}, or give --device cpu."
        )


def number_of(worker_id: str) -> int:
    """The number in a worker's name, ``gw3``; 0 where the user has named it otherwise."""
    return int(re.sub(r"\D", "", worker_id) or 0)


def _worker(config: pytest.Config) -> Mapping[str, Any] | None:
    """What xdist has told this process as one of its workers; None in any other process."""
    return getattr(config, "workerinput", None)
