"""The pytest plugin: the only place that knows pytest. Ask for it with ``pytest_plugins = ["harness.plugin"]``."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence

import pytest

from harness.errors import HarnessError, UsageError
from harness.plugin import collecting, finishing, gathering
from harness.plugin.arguments import add_options
from harness.plugin.options import read_options
from harness.plugin.ordering import WEIGHTS
from harness.plugin.state import ANSWERS, CASE, OPTIONS, PAGES, PROCESS, SESSION, TOLD, Records
from harness.store import Store

pytest_plugins = (
    "harness.plugin.ordering",
    "harness.plugin.dividing",
    "harness.plugin.fixtures.checkpoint",
    "harness.plugin.fixtures.models",
    "harness.plugin.fixtures.training",
    "harness.plugin.fixtures.stages",
    "harness.plugin.fixtures.benchmarks",
    "harness.plugin.fixtures.lm_eval",
    "harness.plugin.fixtures.loop",
    "harness.plugin.fixtures.delivery",
    "harness.plugin.fixtures.dataset",
    "harness.plugin.fixtures.ratings",
    "harness.plugin.fixtures.saying",
)

MARKERS = gathering.SUITES | {
    "preflight": "all that can be said before training",
    "slow": "takes minutes",
    WEIGHTS: "loads weights, though no fixture of it shows that",
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register the options."""
    add_options(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Read the command line; the user's mistakes end the session here, with exit status 4."""
    for name, meaning in MARKERS.items():
        config.addinivalue_line("markers", f"{name}: {meaning}")
    try:
        config.stash[OPTIONS] = read_options(config)
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    if config.stash[OPTIONS].offline:
        os.environ["HF_HUB_OFFLINE"] = os.environ["HF_DATASETS_OFFLINE"] = "1"
    config.stash[PROCESS] = Records()
    config.stash[SESSION] = Records()
    config.stash[PAGES] = []
    config.stash[TOLD] = set()
    config.stash[ANSWERS] = Store(config.stash[OPTIONS].cache / "answers", notes=config.stash[PROCESS].notes)
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Controller(config), "sft-controller")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run cases over bundled samples and the user's own, pairs of a recipe's stages, criteria, benchmarks, lm-eval."""
    collecting.parametrize_samples(metafunc)
    collecting.parametrize_stages(metafunc)
    collecting.parametrize_ratings(metafunc)
    collecting.parametrize_benchmarks(metafunc)
    collecting.parametrize_lm_eval(metafunc)


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    """Remember which suites are run in part only."""
    collecting.note_deselected(items)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Fix what this run is going to compare, before the first comparison is judged."""
    collecting.note_selection(session)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Give the case an empty page to write on."""
    item.stash[CASE] = Records()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let a case's records travel with its report; show our own errors as a sentence, without a traceback."""
    report = yield
    if call.excinfo is not None and isinstance(call.excinfo.value, HarnessError):
        gathering.plain_error(report, call.excinfo.value)
        if isinstance(call.excinfo.value, UsageError):
            # Every case after this one would say the same sentence again.
            item.session.shouldfail = "wrong usage"
    if gathering.is_case(item) and (call.when == "call" or report.failed):
        gathering.attach(item, report, call.when)
    return report


class Controller:
    """The hooks of the one process that sees every report: the only process, or the one above xdist's workers."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take a case's records out of its report."""
        gathering.collect(self.config, report)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """After the last case: what shows only in the whole run, and what is missing from it, fail as cases."""
        try:
            finished = yield
        finally:
            gathering.put_in_order(self.config)
        if not self.config.option.collectonly:
            finishing.judge_together(session)
            finishing.report_missing(session)
        return finished

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Store the baseline and write the reports."""
        finishing.finish(session)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
        """Print the tables."""
        finishing.print_summary(terminalreporter, config)
