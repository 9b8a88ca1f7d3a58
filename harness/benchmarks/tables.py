"""Rows of a data file, whatever its kind, each with the place that a complaint about it names."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from harness.benchmarks.record import Row
from harness.errors import DataError
from harness.samples import json_lines

Placed = tuple[str, Row]
"""Where a row stands (``file:line``, or ``file row N`` from 0 where there are no lines), and the row."""

KINDS = (".jsonl", ".ndjson", ".parquet", ".arrow", ".json", ".csv", ".tsv")
"""What is read; of one table in several kinds the first of these is taken."""

ARROW_FILE = b"ARROW1"
LONGEST_CELL = 1 << 24
"""csv's own limit is 131,072 characters, which is less than some exam questions with their tables."""


def kind_of(path: Path) -> str:
    """The suffix of a file, in small letters."""
    return path.suffix.lower()


def read_table(path: Path, columns: Sequence[str] = (), headers: Sequence[Sequence[str]] = ()) -> list[Placed]:
    """Read all rows of a file.

    A CSV file opens with a header where its first line holds all names of one of ``headers``; any other has the
    ``columns`` of the set. Raises DataError, naming the place, for what is damaged or empty.
    """
    rows: list[Placed]
    try:
        match kind_of(path):
            case ".jsonl" | ".ndjson":
                rows = [(f"{path}:{number}", line) for number, line in json_lines(path)]
            case ".json":
                rows = list(_json(path))
            case ".csv" | ".tsv":
                rows = list(_separated(path, columns, headers))
            case _:
                rows = [(f"{path} row {number}", row) for number, row in enumerate(_arrow(path))]
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}); check the file.") from None
    if not rows:
        raise DataError(f"{path}: holds no row; fetch the file again.")
    return rows


def _json(path: Path) -> Iterator[Placed]:
    """One list of objects; a file of the same name may as well hold an object a line."""
    with path.open("rb") as stream:
        first = stream.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if first != b"[":
        yield from ((f"{path}:{number}", line) for number, line in json_lines(path))
        return
    try:
        rows = json.loads(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 at byte {error.start}; save the file as UTF-8.") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not valid JSON ({error}); fetch the file again.") from None
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise DataError(f"{path} row {number}: an object is expected, this is {type(row).__name__}.")
        yield f"{path} row {number}", row


def _separated(path: Path, columns: Sequence[str], headers: Sequence[Sequence[str]]) -> Iterator[Placed]:
    csv.field_size_limit(LONGEST_CELL)
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            lines = csv.reader(stream, delimiter="\t" if kind_of(path) == ".tsv" else ",")
            names: Sequence[str] = ()
            for cells in lines:
                if not cells:
                    continue
                if not names:
                    named = any(set(header) <= set(cells) for header in headers)
                    names = cells if named or not columns else columns
                    if names is cells:
                        continue
                if len(cells) != len(names):
                    raise DataError(f"{path}:{lines.line_num}: has {len(cells)} cells, {len(names)} are expected.")
                yield f"{path}:{lines.line_num}", dict(zip(names, cells, strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read as a table ({error}); save it as CSV in UTF-8.") from None


def _arrow(path: Path) -> list[dict[str, Any]]:
    """Parquet, and both Arrow formats: ``datasets`` writes the one that is a stream."""
    import pyarrow
    from pyarrow import parquet

    content = path.read_bytes()
    try:
        if kind_of(path) == ".parquet":
            table = parquet.read_table(pyarrow.BufferReader(content))
        elif content.startswith(ARROW_FILE):
            table = pyarrow.ipc.open_file(content).read_all()
        else:
            table = pyarrow.ipc.open_stream(content).read_all()
    except pyarrow.ArrowException as error:
        raise DataError(f"{path}: is damaged or no {path.suffix} file ({error}); fetch it again.") from None
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows
