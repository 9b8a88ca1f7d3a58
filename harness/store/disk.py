"""Answers on the disk, between runs and for all processes of one: whatever happens to the file, the run goes on.

What cannot be read is asked again and what cannot be kept is not kept; ``notes`` says so, once, and why. A damaged file
is left where it is and a new one begun under the next number, rather than renamed: another process may be writing into
it, and SQLite finds a writer's journal by the file's name.
"""

from __future__ import annotations

import os
import sqlite3
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from harness.store import table
from harness.store.memory import Memory

Found = TypeVar("Found")

LIMIT = 1 << 30
"""Bytes that answers may take up; those that nobody has asked for the longest leave first."""

DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
"""SQLite's codes for a file that is not what it was, or never was one."""

PRIMARY = 0xFF
"""The part of SQLite's extended codes that says what kind of error it is."""


@dataclass
class Store:
    """A folder's answers. Nothing is opened, nor made, before the first question; a forked process opens its own.

    Answers that the disk does not take are kept as long as this process lives.

    ``computed`` counts the answers that were added, ``earlier`` those of earlier runs that were of use to this one.
    """

    folder: Path
    limit: int = LIMIT
    notes: list[str] = field(default_factory=list)
    computed: int = 0
    _reads: bool = True
    _writes: bool = True
    _tables: dict[int, sqlite3.Connection] = field(default_factory=dict, repr=False)
    _number: int = 0
    _before: int = 0
    _met: set[int] = field(default_factory=set, repr=False)
    _unwritten: Memory = field(default_factory=Memory, repr=False)

    def __post_init__(self) -> None:
        weakref.finalize(self, _close, self._tables)

    @property
    def earlier(self) -> int:
        """How many there were, each counted once."""
        return len(self._met)

    def get(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        """Those of the answers that are kept."""
        return self._read(keys) | self._unwritten.get(keys)

    def add(self, rows: Mapping[bytes, bytes]) -> None:
        """Keep answers: when this returns they are in the file, and no kill takes them out of it."""
        self.computed += len(rows)
        if not self._change(lambda opened: table.write(opened, rows, self.limit)):
            self._unwritten.add(rows)

    def _read(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        if not self._reads:
            return {}
        try:
            found = self._with_table(lambda opened: list(table.read(opened, keys)))
        except (sqlite3.DatabaseError, OSError) as error:
            self._reads = self._writes = False
            self._note("answers of earlier runs cannot be used, and none are kept", error)
            return {}
        self._change(lambda opened: table.touch(opened, found))
        self._met.update(row.number for row in found if row.number <= self._before)
        return {row.key: row.answer for row in found}

    def _change(self, work: Callable[[sqlite3.Connection], None]) -> bool:
        """Write, unless that has failed before: a full or locked disk is not waited for at every answer."""
        if not self._writes:
            return False
        try:
            self._with_table(work)
        except (sqlite3.DatabaseError, OSError) as error:
            self._writes = False
            self._note("answers are not kept any more", error)
            return False
        return True

    def _with_table(self, work: Callable[[sqlite3.Connection], Found]) -> Found:
        """Do it with the newest file, and where that is damaged, with the one after it."""
        try:
            return work(self._table())
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", 0) & PRIMARY not in DAMAGED:
                raise
            self._begin_anew()
            return work(self._table())

    def _table(self) -> sqlite3.Connection:
        """This process's own connection: SQLite's must not be used on the other side of a fork, nor closed there."""
        process = os.getpid()
        if process not in self._tables:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._number = max(self._numbers(), default=0)
            self._tables[process] = table.opened(self._file(self._number))
            self._before = table.newest(self._tables[process])
        return self._tables[process]

    def _begin_anew(self) -> None:
        """Go on in the file of the next number, which another process may have begun; of the damaged, one is kept."""
        _close(self._tables)
        damaged, new = self._file(self._number), self._file(self._number + 1)
        new.touch()
        for number in self._numbers():
            if number < self._number:
                self._file(number).unlink(missing_ok=True)
                self._file(number, "-journal").unlink(missing_ok=True)
        self.notes.append(f"{damaged}: earlier answers were damaged and not used; new ones are kept in {new.name}.")

    def _numbers(self) -> list[int]:
        """The numbers of the files that are there."""
        names = (file.name.split(".") for file in self.folder.glob(f"answers-{table.SCHEMA}.*.sqlite"))
        return [int(number) for _, number, _ in names if number.isdecimal()]

    def _note(self, what: str, error: Exception) -> None:
        reason = (isinstance(error, OSError) and error.strerror) or error
        self.notes.append(f"{what} in {self.folder} ({reason}); the run went on without, see --cache-dir.")

    def _file(self, number: int, suffix: str = "") -> Path:
        return self.folder / f"answers-{table.SCHEMA}.{number}.sqlite{suffix}"


def _close(tables: dict[int, sqlite3.Connection]) -> None:
    opened = tables.pop(os.getpid(), None)
    if opened is not None:
        opened.close()
