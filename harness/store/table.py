"""The table that answers lie in: what is read from it, written to it, and leaves it when there is too much.

An SQLite file with a rollback journal, since a write-ahead log needs shared memory that a cluster's network folders do
not have. The file is not flushed to the disk at every write: what was written outlives the process, however it is
killed, and a power cut can cost no more than a cache. Every row carries a checksum of key and answer, so that whatever
happens to the file, an answer is the one that was given, or there is none.
"""

from __future__ import annotations

import datetime
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

SCHEMA = 1
"""Is in the file's name, so that a file of another version is neither read nor touched."""

PATIENCE = 20.0
"""Seconds to wait for another process to finish its write; each takes milliseconds."""

AT_ONCE = 500
"""Rows read, or dropped, in one statement."""

SUM = 4
"""Bytes of a checksum."""


class Row(NamedTuple):
    """An answer; ``number`` rises with every write, ``used`` is the day on which it was last of use."""

    number: int
    key: bytes
    answer: bytes
    used: int


TABLE_AND_INDEX = """
CREATE TABLE IF NOT EXISTS answers (number INTEGER PRIMARY KEY, key BLOB UNIQUE, answer BLOB, used INTEGER);
CREATE INDEX IF NOT EXISTS answers_by_use ON answers (used);
"""


def opened(file: Path) -> sqlite3.Connection:
    """A connection to the table, which is made where it is not there yet."""
    address = f"file:{quote(str(file))}?mode=rwc"
    connection = sqlite3.connect(address, uri=True, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
    try:
        connection.text_factory = bytes  # a damaged file may hold anything
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("PRAGMA trusted_schema = OFF")
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'answers_by_use'").fetchone():
            connection.executescript(f"BEGIN IMMEDIATE; {TABLE_AND_INDEX} COMMIT;")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def newest(table: sqlite3.Connection) -> int:
    """The number of the row that was written last; 0 where there is none."""
    return int(table.execute("SELECT coalesce(max(number), 0) FROM answers").fetchone()[0])


def read(table: sqlite3.Connection, keys: Sequence[bytes]) -> Iterator[Row]:
    """Yield what is kept whole."""
    for some in _parts(keys):
        marks = ",".join("?" * len(some))
        yield from (
            Row(number, key, answer[SUM:], used)
            for number, key, answer, used in table.execute(
                f"SELECT number, key, answer, used FROM answers WHERE key IN ({marks})",  # noqa: S608 - marks only
                some,
            ).fetchall()
            if isinstance(answer, bytes) and answer[:SUM] == _checksum(key, answer[SUM:])
        )


def touch(table: sqlite3.Connection, rows: Iterable[Row]) -> None:
    """Note that these answers were of use today, where no run of today has noted it."""
    today = _today()
    stale = [(today, row.number) for row in rows if row.used != today]
    if stale:
        _in_one_go(table, "UPDATE answers SET used = ? WHERE number = ?", stale)


def write(table: sqlite3.Connection, rows: Mapping[bytes, bytes], limit: int) -> None:
    """Keep answers within ``limit`` bytes. Of two processes that were asked the same, each writes the same."""
    today = _today()
    summed = [(key, _checksum(key, answer) + answer, today) for key, answer in rows.items()]
    _in_one_go(table, "INSERT OR REPLACE INTO answers (key, answer, used) VALUES (?, ?, ?)", summed)
    _shrink(table, limit)


def _shrink(table: sqlite3.Connection, limit: int) -> None:
    """Drop what has not been of use for the longest, until the rest fits; the file is filled again, not cut."""
    while _bytes_in_use(table) > limit:
        dropped = table.execute(
            "DELETE FROM answers WHERE number IN (SELECT number FROM answers ORDER BY used, number LIMIT ?)", (AT_ONCE,)
        )
        if not dropped.rowcount:
            return


def _bytes_in_use(table: sqlite3.Connection) -> int:
    pages, free, size = (
        int(table.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size


def _in_one_go(table: sqlite3.Connection, statement: str, rows: Iterable[Sequence[object]]) -> None:
    table.execute("BEGIN IMMEDIATE")
    try:
        table.executemany(statement, rows)
        table.execute("COMMIT")
    finally:
        if table.in_transaction:  # an error on the way; some of them have rolled back already
            table.execute("ROLLBACK")


def _checksum(key: bytes, answer: bytes) -> bytes:
    return zlib.crc32(answer, zlib.crc32(key)).to_bytes(SUM, "big")


def _today() -> int:
    return datetime.datetime.now(datetime.UTC).date().toordinal()


def _parts(keys: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(keys), AT_ONCE):
        yield keys[start : start + AT_ONCE]
