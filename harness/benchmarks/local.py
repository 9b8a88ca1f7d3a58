"""The rows of one split of a benchmark out of a folder, by subject where the set has subjects."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.benchmarks.folder import DataFile, files_of, one_table, split_files
from harness.benchmarks.record import SUBJECT, Benchmark
from harness.benchmarks.tables import Placed, read_table
from harness.errors import DataError

BySubject = Mapping[str, Sequence[Placed]]
"""Subject -> rows in their order; a set without subjects has the one subject ``""``."""


def folder_rows(root: Path, benchmark: Benchmark, split: str) -> BySubject | None:
    """Read a split, or return None where nothing in the folder is called like the set.

    Raises DataError where the set is there and the split, a subject or a label file is not.
    """
    files = files_of(root, benchmark)
    if not files:
        return None
    chosen = split_files(files, benchmark, split)
    what = f"{root}: the {split} split of {benchmark.name}"
    if not chosen:
        there = ", ".join(sorted({file.split or "no split" for file in files}))
        raise DataError(f"{what} is not there ({files[0].path.name} and what is beside it name {there}); add its file.")
    if not benchmark.subjects:
        return {"": _rows(one_table(chosen, what), benchmark)}
    return _with_subjects(chosen, benchmark, what)


def _with_subjects(files: list[DataFile], benchmark: Benchmark, what: str) -> BySubject:
    by_file: dict[str, list[DataFile]] = defaultdict(list)
    for file in files:
        by_file[file.subject(benchmark.subjects)].append(file)
    unnamed = by_file.pop("", [])
    found: dict[str, list[Placed]] = defaultdict(list)
    for subject, its_files in by_file.items():
        for place, row in _rows(one_table(its_files, f"{what}, {subject}"), benchmark):
            found[subject].append((place, {**row, SUBJECT: subject}))
    if not by_file:
        for place, row in _rows(one_table(unnamed, what), benchmark):
            subject = _told_subject(row, benchmark)
            found[subject].append((place, {**row, SUBJECT: subject}))
    if set(found) == {""} and not benchmark.only:
        return found  # it is up to the form of the rows whether they can be asked so
    lacking = [subject for subject in benchmark.asked_subjects if subject not in found]
    if lacking:
        there = [subject for subject in found if subject in benchmark.subjects]
        instead = f", or ask for what is there, such as {benchmark.name}_{there[0]}" if there else ""
        raise DataError(
            f"{what} lacks {len(lacking)} of {len(benchmark.asked_subjects)} subjects ({lacking[0]} first); add their "
            f"files{instead}."
        )
    return {subject: found[subject] for subject in benchmark.asked_subjects}


def _told_subject(row: Mapping[str, object], benchmark: Benchmark) -> str:
    """What the row's own column says; empty where the row has none, and its form must do without."""
    told = row.get(benchmark.subject_field) if benchmark.subject_field else None
    return "" if told is None else str(told)


def _rows(paths: list[Path], benchmark: Benchmark) -> list[Placed]:
    headers = [form.fields for form in benchmark.forms]
    rows = [row for path in paths for row in read_table(path, benchmark.columns, headers)]
    labels = paths[0].with_name(f"{paths[0].stem}-labels.lst")
    if benchmark.label and benchmark.label not in rows[0][1] and labels.is_file():
        return _labelled(rows, labels, benchmark.label)
    return rows


def _labelled(rows: list[Placed], path: Path, field: str) -> list[Placed]:
    """Put each line of a file of labels into its row."""
    labels = path.read_text(encoding="utf-8-sig", errors="replace").split()
    if len(labels) != len(rows):
        raise DataError(
            f"{path}: has {len(labels)} labels for the {len(rows)} rows beside it; fetch both files from one release."
        )
    return [(place, {**row, field: label}) for (place, row), label in zip(rows, labels, strict=True)]
