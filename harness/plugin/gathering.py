"""How what a case has said reaches the process that prints: as plain data on its report, with xdist or without."""

from __future__ import annotations

import json
import os
from collections.abc import Collection

import pytest

from harness.errors import HarnessError, InvalidRunError, UsageError
from harness.plugin.peaks import peak_of
from harness.plugin.state import ANSWERS, CASE, OPTIONS, PAGES, PLACE, PROCESS, SESSION, TOLD, Records
from harness.records import Outcome

PACKED = "sft_records"
AT = "sft_place"
USAGE = "sft_usage_error"

SUITES = {
    "template": "chat template and tokenizer: what is rendered, encoded, saved",
    "mask": "which tokens of a training row the loss sees",
    "stopping": "does the model end its answers",
    "quality": "answers against references",
    "forgetting": "general ability of the tuned model against its base",
    "training": "the training loop",
    "handover": "the merged, exported or served model",
    "data": "the training data",
}
"""The markers, one a suite: what carries one of them is a case of ours, and the report speaks of it."""


def plain_error(report: pytest.TestReport, error: HarnessError) -> None:
    """Show an error of ours as its sentence, and a broken run as pytest's *error*, not as a failure of the model."""
    report.longrepr = str(error)
    if isinstance(error, InvalidRunError | UsageError):
        # pytest, JUnit and xdist all tell errors from failures by the phase, and by nothing else.
        report.when = "setup"
    if isinstance(error, UsageError):
        setattr(report, USAGE, str(error))


def is_case(item: pytest.Item) -> bool:
    """Tell whether an item is a case of a suite, and not some other test that runs beside it."""
    return "gate" in getattr(item, "fixturenames", ()) or any(item.get_closest_marker(suite) for suite in SUITES)


def attach(item: pytest.Item, report: pytest.TestReport, phase: str) -> None:
    """Put the case's records on its report, together with what this process knows of its models.

    What a case has said travels once: where a ``phase`` after it fails, the teardown, only the failure is news.
    """
    gathered = Records()
    gathered.add(item.config.stash[PROCESS])
    told = item.config.stash[TOLD]
    gathered.notes = [note for note in gathered.notes if note not in told]
    told.update(gathered.notes)
    gathered.peaks = peak_of(item.config)
    answers = item.config.stash[ANSWERS]
    gathered.asked = {os.environ.get("PYTEST_XDIST_WORKER", ""): [answers.computed, answers.earlier]}
    if phase != "teardown":
        gathered.add(item.stash[CASE])
    setattr(report, PACKED, json.dumps(gathered.pack()))
    setattr(report, AT, item.stash[PLACE])


def collect(config: pytest.Config, report: pytest.TestReport) -> None:
    """Add what a report brings to the session's records."""
    if PACKED not in report.__dict__:
        return
    records = config.stash[SESSION]
    said = Records.unpack(json.loads(report.__dict__[PACKED]))
    if report.failed and not _told_by_verdicts(said, config.stash[OPTIONS].fail_on):
        said.broken.append((report.nodeid, report.longreprtext))
    twice = _measured_otherwise(records, said)
    records.add(said)
    records.cases += report.when != "teardown"
    if twice:
        records.usage_error = records.usage_error or (
            f"{report.nodeid} measures {twice}, which another case has measured on other samples or with other "
            "settings: a baseline holds one of a name, so give one of the two sample sets another name."
        )
    records.usage_error = records.usage_error or report.__dict__.get(USAGE, "")
    config.stash[PAGES].append((report.__dict__[AT], said))


def put_in_order(config: pytest.Config) -> None:
    """Let the report tell all in the order of the cases, whichever of several workers was the first to speak."""
    records, pages, ordered = config.stash[SESSION], config.stash[PAGES], Records()
    for _, said in sorted(pages, key=lambda page: page[0]):
        ordered.add(said)
    records.notes, records.broken, records.verdicts = ordered.notes, ordered.broken, ordered.verdicts
    records.answers, records.rows = ordered.answers, ordered.rows


def _measured_otherwise(records: Records, said: Records) -> str:
    """The name under which a case has measured something else than an earlier case; empty where none has."""
    for name in said.measurements.keys() & records.measurements.keys():
        one, other = said.measurements[name], records.measurements[name]
        if one.signature != other.signature or one.scores != other.scores:
            return name
    return ""


def _told_by_verdicts(said: Records, fail_on: Collection[str]) -> bool:
    """Whether a verdict says why the case failed; a case may also pass its gate and break on another line."""
    return any(verdict.outcome is Outcome.INVALID or verdict.outcome in fail_on for verdict in said.verdicts)
