"""Stored measurements: two text files a baseline, made to be read in a diff.

baselines/<name>/baseline.json    config (with the format's version), environment, measurements
baselines/<name>/samples.jsonl    one line a measurement and sample, sorted: a diff shows which samples flipped
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.baselines.baseline import SUMMARY, Baseline
from harness.baselines.fields import Record, damaged, parsed
from harness.errors import BaselineError
from harness.records import Measurement, SampleScore

FORMAT = 1
"""Raised when an older package could misread what a newer one writes."""

SAMPLES = "samples.jsonl"

VALUE_DIGITS = 6
"""Significant digits of a value: more than any margin needs, few enough to read."""

SCORE_DIGITS = 10
"""Significant digits of a score, so that the values' six come out again; float32 carries nine."""


def load(directory: Path, name: str) -> Baseline:
    """Reads ``directory/name``. Raises BaselineError, one sentence with the remedy, for all but a sound baseline."""
    folder = _readable_folder(directory, name)
    place = str(folder / SUMMARY)
    record = Record.of(parsed(_text(folder / SUMMARY), place), place)
    config = record.record("config")
    version = config.whole("format")
    if version != FORMAT:
        raise BaselineError(
            f"{place} has format {version}, and this package reads {FORMAT}: install the pytest-sft that wrote it, "
            f"or record the baseline again with --baseline {name} --baseline-update"
        )
    environment, stored = record.record("environment"), record.record("measurements")
    scores = _scores(folder / SAMPLES)
    for each in scores.keys() - stored.values.keys():
        raise damaged(str(folder / SAMPLES), f"it has samples of {each!r}, which {SUMMARY} lacks")
    measurements = {each: _measurement(each, stored.record(each), scores.get(each, {})) for each in stored.values}
    return Baseline(name, Path(directory) / name, config.values, environment.values, measurements)


def exists(directory: Path, name: str) -> bool:
    """Whether a baseline of this name is stored, sound or damaged; also where a killed ``save`` had set it aside."""
    return any(folder.is_dir() for folder in _folders(directory, name))


def save(directory: Path, baseline: Baseline) -> Path:
    """Writes ``directory/<baseline.name>`` whole or not at all, and returns it; other files in that folder are kept.

    Everything is written to a new folder beside it first. Then the old folder is set aside by one rename and the new
    one takes its name by another. A kill before the first leaves the old one; between the two, ``load`` finds the old
    one where it was set aside; after them it is the new one. No moment shows a mixture.
    Raises BaselineError where a measurement has no usable numbers or the folder cannot be written.
    """
    target, aside = _folders(directory, baseline.name)
    fresh = aside.with_suffix(".new")
    texts = {SUMMARY: _summary_text(baseline), SAMPLES: _samples_text(baseline)}
    try:
        _clear(fresh)
        current = target if target.exists() else aside
        if current.exists():
            shutil.copytree(current, fresh)
        else:
            fresh.mkdir(parents=True)
        for file, text in texts.items():
            _write_through(fresh / file, text)
        if target.exists():
            _clear(aside)
            target.rename(aside)
        fresh.rename(target)
        _clear(aside)
    except (OSError, UnicodeEncodeError) as error:
        raise BaselineError(f"{target} cannot be written ({error}): what was stored is kept, try again") from error
    return target


def _folders(directory: Path, name: str) -> tuple[Path, Path]:
    """The baseline's folder, and where it is set aside while a new one takes its place."""
    if not name or name.startswith(".") or set(name) & set("/\\:\0") or not name.isprintable():
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


def _clear(leftover: Path) -> None:
    if leftover.exists():
        shutil.rmtree(leftover)


def _text(file: Path) -> str:
    try:
        return file.read_bytes().decode()
    except FileNotFoundError as error:
        raise damaged(str(file), "it is not there, so half of the baseline is missing") from error
    except OSError as error:
        raise damaged(str(file), f"it cannot be read ({error})") from error
    except UnicodeDecodeError as error:
        raise damaged(str(file), f"byte {error.start} is not UTF-8 text") from error


def _scores(file: Path) -> dict[str, dict[str, SampleScore]]:
    """Sample scores by measurement and id."""
    scores: dict[str, dict[str, SampleScore]] = defaultdict(dict)
    # Only \n ends a line: an id may hold U+2028, at which splitlines() would cut.
    for number, line in enumerate(_text(file).removesuffix("\n").split("\n"), start=1):
        if not line and number == 1:
            continue  # nothing but measurements without samples
        place = f"{file} line {number}"
        record = Record.of(parsed(line, place), place)
        measurement, sample = record.text("measurement"), record.text("id")
        if sample in scores[measurement]:
            raise damaged(place, f"the sample {sample!r} of {measurement} is there twice")
        cluster = record.text("cluster") if "cluster" in record.values else ""
        scores[measurement][sample] = SampleScore(record.numbers("scores"), record.text("digest"), cluster)
    return scores


def _measurement(name: str, record: Record, scores: Mapping[str, SampleScore]) -> Measurement:
    n, widths = record.whole("n"), {len(score.values) for score in scores.values()}
    if n != len(scores) or len(widths) != 1:
        found = f"{len(scores)} with {' or '.join(map(str, sorted(widths)))} scores each" if scores else "none"
        raise damaged(record.place, f"n is {n} samples of one shape, but {SAMPLES} has {found}")
    return Measurement(
        name=name,
        metric=record.text("metric"),
        value=record.number("value"),
        stderr=math.nan if record.values.get("stderr", 0) is None else record.number("stderr"),
        n=n,
        signature=record.text("signature"),
        higher_is_better=record.flag("higher_is_better"),
        scores=scores,
        chance=record.number("chance") if "chance" in record.values else None,
        limited="limited" in record.values and record.flag("limited"),
    )


def _summary_text(baseline: Baseline) -> str:
    content = {
        "config": {**baseline.config, "format": FORMAT},
        "environment": dict(baseline.environment),
        "measurements": {name: _summary(each) for name, each in baseline.measurements.items()},
    }
    return json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"


def _summary(measurement: Measurement) -> dict[str, Any]:
    if (
        measurement.problems
        or not measurement.n
        or measurement.n != len(measurement.scores)
        or not math.isfinite(measurement.value)
    ):
        fault = "; ".join(measurement.problems) or f"value {measurement.value}, n {measurement.n}"
        raise BaselineError(f"{measurement.name} has no usable numbers ({fault}): nothing was stored, run it again")
    summary = {
        "metric": measurement.metric,
        "value": _shown(measurement.value, VALUE_DIGITS),
        "stderr": _shown(measurement.stderr, VALUE_DIGITS) if math.isfinite(measurement.stderr) else None,
        "n": measurement.n,
        "signature": measurement.signature,
        "higher_is_better": measurement.higher_is_better,
    }
    if measurement.chance is not None:
        summary["chance"] = measurement.chance
    if measurement.limited:
        summary["limited"] = True
    return summary


def _samples_text(baseline: Baseline) -> str:
    return "".join(
        line for _, measurement in sorted(baseline.measurements.items()) for line in _sample_lines(measurement)
    )


def _sample_lines(measurement: Measurement) -> Iterator[str]:
    for sample, score in sorted(measurement.scores.items()):
        if not all(map(math.isfinite, score.values)):
            raise BaselineError(
                f"{measurement.name} has no finite score for {sample}: nothing was stored, run it again"
            )
        line = {
            "measurement": measurement.name,
            "id": sample,
            "digest": score.digest,
            "scores": [_shown(value, SCORE_DIGITS) for value in score.values],
        }
        if score.cluster:
            line["cluster"] = score.cluster
        yield json.dumps(line, ensure_ascii=False) + "\n"


def _shown(number: float, digits: int) -> int | float:
    """The number with so many significant digits; without a point where it is whole, so that 0 and 1 read as flips."""
    if float(number).is_integer() and abs(number) < 10**digits:
        return int(number)
    return float(f"{number:.{digits}g}")


def _write_through(file: Path, text: str) -> None:
    """Writes down to the disk: the rename that follows must not get there before the content does."""
    with file.open("w", encoding="utf-8", newline="\n") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
