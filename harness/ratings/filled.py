"""What raters give back, as they wrote it: a saved file of the page or of a judge (JSON), or a filled table (CSV)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.errors import DataError
from harness.ratings.documents import Fields, read_document, read_text
from harness.ratings.judged import JudgeRecord, judge_record
from harness.ratings.rubric import CRITERIA, Choice

RATINGS = "pytest-sft ratings"


@dataclass(frozen=True)
class Rating:
    """What one rater says of one pair; a criterion that is not in ``choices`` was left open."""

    item: str
    digest: str
    choices: Mapping[str, Choice]
    where: str


@dataclass(frozen=True)
class Filled:
    """All that one rater has given back; ``judge`` is None for a person."""

    rater: str
    ratings: Mapping[str, Rating]
    origin: str
    judge: JudgeRecord | None = None


def read_filled(path: Path) -> Filled:
    """Read one rater's file; raises DataError for a value outside the scale, an item that is there twice, no rating."""
    if path.suffix.lower() == ".csv":
        rater, judge, rows = path.stem, None, list(_table_rows(path))
    else:
        document = read_document(path, RATINGS)
        rater = document.text("rater").strip() or path.stem
        judge = judge_record(document.record("judge")) if "judge" in document.values else None
        rows = [_rating(each) for each in document.records("ratings")]
    ratings: dict[str, Rating] = {}
    for rating in rows:
        if rating.item in ratings:
            raise DataError(
                f"{rating.where}: item {rating.item!r} was rated before, at {ratings[rating.item].where}; keep one."
            )
        ratings[rating.item] = rating
    if judge is None and not any(rating.choices for rating in ratings.values()):
        raise DataError(f"{path}: holds no rating yet; write left, right or tie for at least one criterion.")
    return Filled(rater, ratings, str(path), judge)


def _rating(fields: Fields) -> Rating:
    given = {name: fields.text(name) for name in CRITERIA if fields.values.get(name) is not None}
    choices = {name: choice for name, text in given.items() if (choice := _choice(text, name, fields.where))}
    return Rating(fields.text("item"), fields.text("digest"), choices, fields.where)


def _table_rows(path: Path) -> Iterator[Rating]:
    """The rows of a table, whichever separator the rater's spreadsheet writes; blank rows are passed over."""
    text = read_text(path)
    header = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=header.count), strict=True)
    begins = 1
    names: list[str] | None = None
    try:
        for cells in reader:
            where, begins = f"{path}:{begins}", reader.line_num + 1
            if names is None:
                names = _column_names(cells, where)
            elif any(cell.strip() for cell in cells):
                yield _row(dict(zip(names, cells, strict=False)), where)
    except csv.Error as error:
        raise DataError(f"{path}:{begins}: not a readable row of a table ({error}); save it as CSV again.") from None


def _column_names(cells: list[str], where: str) -> list[str]:
    names = [cell.strip().casefold() for cell in cells]
    absent = [name for name in ("item", "digest", *CRITERIA) if name not in names]
    if absent:
        raise DataError(f"{where}: the table has no column {absent[0]!r}; keep the columns of the sheet as they are.")
    return names


def _row(cells: Mapping[str, str], where: str) -> Rating:
    choices = {name: choice for name in CRITERIA if (choice := _choice(cells.get(name, ""), name, where))}
    return Rating(cells["item"].strip(), cells.get("digest", "").strip(), choices, where)


def _choice(text: str, criterion: str, where: str) -> Choice | None:
    """The choice that a text stands for; None where it is blank."""
    said = text.strip().casefold()
    if not said:
        return None
    if said not in set(Choice):
        raise DataError(f"{where}: {criterion} is {text.strip()[:60]!r}; write left, right or tie, or leave it empty.")
    return Choice(said)
