"""The end of a session: what is missing fails, the baseline is stored, reports are written, tables are printed."""

from __future__ import annotations

import datetime
import shlex
from collections.abc import Iterator
from dataclasses import replace

import pytest

from harness import baselines
from harness.errors import HarnessError
from harness.gate import explain, judged_together, missing
from harness.plugin.options import Options
from harness.plugin.state import OPTIONS, SESSION, Records
from harness.provenance import commit, versions
from harness.records import Measurement, Outcome, Report, Verdict
from harness.report import write_report

REPORT = pytest.StashKey[Report]()


def judge_together(session: pytest.Session) -> None:
    """Judge all verdicts once more, now that the run is known; what regresses only now fails as a case of its own."""
    config = session.config
    options, records = config.stash[OPTIONS], config.stash[SESSION]
    before = records.verdicts
    records.verdicts = judged_together(before, alpha=options.alpha, comparisons=records.comparisons)
    for old, new in zip(before, records.verdicts, strict=True):
        if new.outcome is not old.outcome and new.outcome in options.fail_on:
            config.hook.pytest_runtest_logreport(report=_failed_case(new, records, explain(new, "")))


def report_missing(session: pytest.Session) -> None:
    """Report every stored measurement that this run should have made and did not, as a failed case of its own.

    A metric that disappears must not pass. Where the run was cut short, or only a part of a suite was selected,
    nothing is missing: it was not asked for.
    """
    config = session.config
    options, records = config.stash[OPTIONS], config.stash[SESSION]
    nothing_to_measure = options.model is None and options.recipe is None
    if nothing_to_measure or _is_cut_short(session):
        return
    for verdict in _missing(options, records):
        records.verdicts.append(verdict)
        if Outcome.MISSING in options.fail_on:
            config.hook.pytest_runtest_logreport(report=_failed_case(verdict, records, _as_missing(verdict)))


def finish(session: pytest.Session) -> None:
    """Store the baseline, write the reports, keep the report for the terminal; wrong usage sets exit status 4."""
    config = session.config
    options, records = config.stash[OPTIONS], config.stash[SESSION]
    if not records.cases:
        return
    records.cut_short = _is_cut_short(session)
    try:
        if options.update:
            _store(options, records)
        report = _report(config, options, records)
        for path in options.reports:
            write_report(report, path)
    except HarnessError as error:
        records.usage_error = str(error)
        report = _report(config, options, records)
    config.stash[REPORT] = report
    if records.usage_error:
        session.exitstatus = pytest.ExitCode.USAGE_ERROR


def _is_cut_short(session: pytest.Session) -> bool:
    """Tell whether cases were left out at the end: by -x, by a usage error, by Ctrl-C, by a crash."""
    broken_off = (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.INTERNAL_ERROR)
    return bool(session.shouldstop or session.shouldfail) or getattr(session, "exitstatus", 0) in broken_off


def print_summary(reporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the report's tables to the terminal, as wide as it is and coloured where pytest is."""
    if REPORT not in config.stash:
        return
    import io

    from rich.console import Console

    from harness.report.terminal import print_report

    # Text first, the terminal after: pytest's writer stays the only one that writes to the screen.
    text = io.StringIO()
    colour = reporter.hasmarkup
    console = Console(
        file=text,
        width=reporter._tw.fullwidth,  # pytest offers no other way to the width
        force_terminal=colour,
        no_color=not colour,
        color_system="standard" if colour else None,
        legacy_windows=False,
    )
    print_report(config.stash[REPORT], console)
    reporter.write_sep("=", "fine-tuning report")
    reporter.write(text.getvalue())
    usage_error = config.stash[SESSION].usage_error
    if usage_error:
        reporter.write_line(f"ERROR: {usage_error}", red=True)


def _missing(options: Options, records: Records) -> Iterator[Verdict]:
    for baseline in options.compare:
        suites = baseline.suites
        in_scope = [
            stored for name, stored in baseline.measurements.items() if suites.get(name) in records.whole_suites
        ]
        label = f"baseline {baseline.name}"
        for verdict in missing(in_scope, records.measurements, label=label, origin=baseline.origin):
            yield replace(verdict, suite=suites[verdict.measurement])


def _failed_case(verdict: Verdict, records: Records, sentence: str) -> pytest.TestReport:
    name = f"{verdict.outcome}[{verdict.measurement}]"
    file = records.files[verdict.suite]
    return pytest.TestReport(
        nodeid=f"{file}::{name}",
        location=(file, 0, name),
        keywords={},
        outcome="failed",
        longrepr=sentence,
        when="call",
    )


def _as_missing(verdict: Verdict) -> str:
    return f"{verdict.measurement} is missing: {verdict.reason}\n  baseline  {verdict.origin}"


def _store(options: Options, records: Records) -> None:
    """Record what was measured; a run that broke off, or measured nothing usable, leaves the baseline as it was."""
    assert options.update is not None
    broken = [verdict.measurement for verdict in records.verdicts if verdict.outcome is Outcome.INVALID]
    if records.cut_short or broken or records.usage_error:
        why = f"{broken[0]} is invalid" if broken else "the run was cut short"
        records.notes.append(f"baseline {options.update} was not stored: {why}")
        return
    new = baselines.Baseline(
        name=options.update,
        path=options.baseline_dir / options.update,
        config=_config(options, records),
        environment=_environment(options, records),
        measurements=records.measurements,
    )
    if baselines.exists(options.baseline_dir, options.update):
        if not records.measurements:
            records.notes.append(f"baseline {options.update} is as it was: this run measured nothing")
            return
        old = baselines.load(options.baseline_dir, options.update)
        if not options.update_only_new:
            old = replace(old, measurements=_still_there(old, records))
        new = baselines.merge(old, new, only_new=options.update_only_new)
    baselines.save(options.baseline_dir, new)
    records.notes.append(f"stored {len(records.measurements)} measurements in {new.path}")


def _still_there(old: baselines.Baseline, records: Records) -> dict[str, Measurement]:
    """Leave out what a suite once measured and, run whole, does not measure any more: so its loss is accepted."""
    suites = old.suites
    return {name: each for name, each in old.measurements.items() if suites.get(name) not in records.whole_suites}


def _report(config: pytest.Config, options: Options, records: Records) -> Report:
    judged = {verdict.measurement for verdict in records.verdicts}
    return Report(
        config=_config(options, records),
        environment=_environment(options, records),
        measurements=tuple(records.measurements[name] for name in sorted(records.measurements) if name in judged),
        verdicts=tuple(sorted(records.verdicts, key=lambda verdict: (verdict.suite, verdict.measurement))),
        broken=tuple(records.broken),
        notes=(*_notes(records), *records.notes),
        answers=tuple(records.answers),
        rows=tuple(records.rows),
        stages=records.stages,
        fail_on=options.fail_on,
        next_steps=tuple(_next_steps(config, options, records)),
        peaks=tuple(records.peaks[name] for name in sorted(records.peaks)),
        cases=records.cases,
    )


def _notes(records: Records) -> Iterator[str]:
    """What the whole run shows, and no case of it."""
    if records.cut_short:
        yield "the run was cut short: not every case ran"
    computed = sum(counts[0] for counts in records.asked.values())
    earlier = sum(counts[1] for counts in records.asked.values())
    if earlier:
        yield f"{earlier:,} answers were kept from earlier runs, {computed:,} were computed (all, with --no-cache)"


def _config(options: Options, records: Records) -> dict[str, object]:
    suites: dict[str, list[str]] = {}
    for name, suite in sorted(records.suites.items()):
        suites.setdefault(suite, []).append(name)
    return {
        "model": options.subject,
        "base_model": options.base_model.text if options.base_model else None,
        "baselines": [baseline.name for baseline in options.compare],
        "apply_chat_template": options.chat_choices,
        "alpha": options.alpha,
        "limit": options.limit,
        "seed": options.seed,
        "suites": suites,
    }


def _environment(options: Options, records: Records) -> dict[str, object]:
    return {
        **records.environment,
        "versions": versions(),
        "commit": commit(options.root),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def _next_steps(config: pytest.Config, options: Options, records: Records) -> Iterator[str]:
    asked = shlex.join(["pytest", *(str(argument) for argument in config.invocation_params.args)])
    if not options.compare and options.update is None and records.measurements:
        yield f"keep these numbers as a baseline:  {asked} --baseline main --baseline-update"
    if any(verdict.outcome in options.fail_on for verdict in records.verdicts) and options.compare:
        yield f"accept the new numbers:  {asked} --baseline-update"
    new = [verdict for verdict in records.verdicts if verdict.outcome is Outcome.NEW]
    if new and options.compare:
        yield f"store the {len(new)} new measurements:  {asked} --baseline-update-new"
    if not options.reports:
        yield f"keep this report:  {asked} --report report.md"
