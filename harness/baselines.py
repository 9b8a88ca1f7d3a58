"""Stored measurements: two text files a baseline, made to be read in a diff.

    baselines/<name>/baseline.json    config (with the format's version), environment, measurements
    baselines/<name>/samples.jsonl    one line a measurement and sample, sorted: a diff shows which samples flipped
"""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.errors import BaselineError, UsageError
from harness.fields import Record, parsed
from harness.records import Measurement, Reference, SampleScore

FORMAT = 1
"""Raised when an older package could misread what a newer one writes."""

SUMMARY, SAMPLES = "baseline.json", "samples.jsonl"

VALUE_DIGITS = 6
"""Significant digits of a value: more than any margin needs, few enough to read."""

SCORE_DIGITS = 10
"""Significant digits of a score, so that the values' six come out again; float32 carries nine."""


@dataclass(frozen=True)
class Baseline:
    """What was asked (``config``), where it ran (``environment``) and what was measured, by measurement name.

    ``environment["digests"]`` maps each part of the model (weights, adapter, tokenizer, template) to its digest.
    """

    name: str
    path: Path
    config: Mapping[str, Any]
    environment: Mapping[str, Any]
    measurements: Mapping[str, Measurement]

    @property
    def origin(self) -> str:
        """File, day and commit, as far as the environment tells them."""
        commit = self.environment.get("commit")
        known = [self.environment.get("date"), f"commit {str(commit)[:7]}" if commit else None]
        facts = ", ".join(str(fact) for fact in known if fact)
        return f"{self.path / SUMMARY} ({facts})" if facts else str(self.path / SUMMARY)

    def reference(self, measurement: str) -> Reference:
        """What to compare the measurement of that name with; empty where it is not stored."""
        return Reference(self.name, self.measurements.get(measurement), self.origin)


def load(directory: Path, name: str) -> Baseline:
    """Reads ``directory/name``. Raises BaselineError, one sentence with the remedy, for anything but a sound baseline."""
    folder = _readable_folder(directory, name)
    record = Record(parsed(_text(folder / SUMMARY), str(folder / SUMMARY)), str(folder / SUMMARY))
    config = record.record("config")
    version = config.whole("format")
    if version != FORMAT:
        raise BaselineError(
            f"{folder / SUMMARY} has format {version} and this package reads {FORMAT}: install the pytest-sft that "
            f"wrote it, or record the baseline again with --baseline {name} --baseline-update"
        )
    stored = record.record("measurements")
    scores = _scores(folder / SAMPLES)
    unknown = sorted(scores.keys() - stored.values.keys())
    if unknown:
        raise BaselineError(f"{folder / SAMPLES} has samples of {unknown[0]!r}, which {SUMMARY} lacks: {_restore(name)}")
    measurements = {each: _measurement(each, stored.record(each), scores.get(each, {})) for each in stored.values}
    return Baseline(name, Path(directory) / name, config.values, record.record("environment").values, measurements)


def save(
    directory: Path,
    name: str,
    config: Mapping[str, Any],
    environment: Mapping[str, Any],
    measurements: Iterable[Measurement],
) -> Path:
    """Writes ``directory/name`` whole or not at all, and returns it; other files in that folder are kept.

    Everything is written to a new folder beside it first. Then the old folder is set aside by one rename and the new
    one takes its name by another. A kill before the first leaves the old one; between the two, ``load`` and the next
    ``save`` find the old one where it was set aside; after them it is the new one. No moment shows a mixture.
    Raises BaselineError where a measurement has no usable numbers or the folder cannot be written.
    """
    target, aside = _folders(directory, name)
    ordered = sorted(measurements, key=lambda each: each.name)
    summary = {
        "config": {**config, "format": FORMAT},
        "environment": dict(environment),
        "measurements": {each.name: _summary(each) for each in ordered},
    }
    texts = {
        SUMMARY: json.dumps(summary, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n",
        SAMPLES: "".join(line for each in ordered for line in _sample_lines(each)),
    }
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if aside.exists() and not target.exists():
            aside.rename(target)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{name}.") as scratch:
            fresh = Path(scratch) / name
            if target.exists():
                shutil.copytree(target, fresh)
            fresh.mkdir(exist_ok=True)
            for file, text in texts.items():
                _write_through(fresh / file, text)
            shutil.rmtree(aside, ignore_errors=True)
            if target.exists():
                target.rename(aside)
            fresh.rename(target)
        shutil.rmtree(aside, ignore_errors=True)
    except OSError as error:
        raise BaselineError(f"the baseline {target} cannot be written ({error}): nothing was changed") from error
    return target


def merge(old: Baseline, new: Baseline, *, only_new: bool) -> Baseline:
    """What to store when ``new`` was measured and ``old`` is there: all of ``new``, or only what ``old`` lacks.

    Raises UsageError where measurements of two different models would come to stand in one baseline.
    """
    kept = old.measurements if only_new else {k: v for k, v in old.measurements.items() if k not in new.measurements}
    added = {k: v for k, v in new.measurements.items() if k not in kept}
    if kept and added and not _same_model(old, new):
        raise UsageError(
            f"baseline {old.name} holds {len(kept)} measurements of another model, such as {min(kept)}, which this run "
            f"would keep: record the whole baseline again, or choose another name with --baseline"
        )
    frame = old if only_new else new
    return replace(frame, measurements={**kept, **added})


def _same_model(old: Baseline, new: Baseline) -> bool:
    digests = new.environment.get("digests")
    return digests is not None and old.environment.get("digests") == digests


def _folders(directory: Path, name: str) -> tuple[Path, Path]:
    """The baseline's folder, and where it is set aside while a new one takes its place."""
    if not name or name.startswith(".") or set(name) & set('/\\:\0') or not name.isprintable():
        raise BaselineError(f"{name!r} cannot name a baseline: give a plain folder name such as main")
    return Path(directory) / name, Path(directory) / f".{name}.old"


def _readable_folder(directory: Path, name: str) -> Path:
    target, aside = _folders(directory, name)
    for folder in (target, aside):
        if folder.is_dir():
            return folder
    there = sorted(file.parent.name for file in Path(directory).glob(f"[!.]*/{SUMMARY}"))
    known = f"there are {', '.join(there)}" if there else "none is there yet"
    raise BaselineError(
        f"no baseline {name!r} in {directory} ({known}): record one with --baseline {name} --baseline-update"
    )


def _text(file: Path) -> str:
    try:
        return file.read_bytes().decode()
    except FileNotFoundError as error:
        raise BaselineError(f"{file} is not there, half of the baseline is missing: {_restore(file.parent.name)}") from error
    except OSError as error:
        raise BaselineError(f"{file} cannot be read ({error}): {_restore(file.parent.name)}") from error
    except UnicodeDecodeError as error:
        raise BaselineError(f"{file} is not UTF-8 text at byte {error.start}: {_restore(file.parent.name)}") from error


def _restore(name: str) -> str:
    return f"restore it from version control, or record it again with --baseline {name} --baseline-update"
