"""Every check that applies to a set-up, run on it: what each case of the suites would find."""

from __future__ import annotations

from collections.abc import Iterator

from harness.calibration.checks import GATE
from harness.chat.probe import probe
from harness.dataset.checks import ROWS
from harness.errors import HarnessError
from harness.findings import silent
from harness.handover.checks import FILES, WEIGHTS
from harness.inspection import checks
from harness.inspection.matching import inspect_batches
from harness.inspection.preflight import trained_checkpoint
from harness.loop.checks import LOOP
from harness.records import Finding
from harness.zoo.exhibit import Setup

REFUSED = "refused"
"""The name under which a sentence of the harness itself counts: the set-up was not even inspected."""


def examine(setup: Setup) -> dict[str, list[Finding]]:
    """Findings by the name of the case, of those cases alone that have any; a refusal ends the examination."""
    found: dict[str, list[Finding]] = {}
    try:
        found.update(_examined(setup))
    except HarnessError as refusal:
        found[REFUSED] = [Finding(str(refusal), "the set-up", "one that can be inspected", "a refusal", "see above")]
    return {name: findings for name, findings in found.items() if findings}


def _examined(setup: Setup) -> Iterator[tuple[str, list[Finding]]]:
    if setup.tokenizer is not None:
        habits = probe(setup.tokenizer)
        yield from ((name, check(setup.tokenizer, habits)) for name, check in checks.CHAT.items())
    if setup.checkpoint is not None:
        yield from ((name, check(setup.checkpoint)) for name, check in checks.CHECKPOINT.items())
    if setup.trainer is not None:
        seen = inspect_batches(setup.trainer, setup.rows, **setup.options)
        applied = checks.of_a_trainer(setup.trainer, seen, trained_checkpoint(setup.trainer, seen))
        yield from ((name, check()) for name, check in applied.items())
    if setup.model is not None and setup.samples is not None:
        yield from ((name, check(setup.model, setup.samples)) for name, check in checks.ANSWERS.items())
    if setup.loop is not None:
        yield from ((name, check(setup.loop, silent)) for name, check in LOOP.items())
    if setup.delivery is not None:
        yield from ((name, check(setup.delivery, silent)) for name, check in (FILES | WEIGHTS).items())
    if setup.dataset is not None:
        yield from ((name, check(setup.dataset, silent)) for name, check in ROWS.items())
    if setup.gate is not None:
        yield from ((name, check(setup.gate)) for name, check in GATE.items())
    yield from ((name, find()) for name, find in setup.more.items())
