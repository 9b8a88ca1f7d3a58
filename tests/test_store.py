"""Answers on the disk: found again whole or not at all, whatever happens to the process, the file and the disk."""

from __future__ import annotations

import hashlib
import os
import random
import sqlite3
import subprocess
import sys
import textwrap
from contextlib import closing
from pathlib import Path

import pytest

from harness.store import Store, disk, table

ROOT = Path(__file__).parent.parent


def key(name: object) -> bytes:
    return hashlib.sha256(str(name).encode()).digest()


def answer(name: object) -> bytes:
    """An answer that can only be the one of this name."""
    return f"the answer to {name} ".encode() * (1 + hash_of(name) % 40)


def hash_of(name: object) -> int:
    return int.from_bytes(key(name)[:2], "big")


def rows(*names: object) -> dict[bytes, bytes]:
    return {key(name): answer(name) for name in names}


def found(store: Store, names: range) -> set[int]:
    """Which of the names are kept; what is found must be the right answer."""
    kept = store.get([key(name) for name in names])
    assert all(kept[key(name)] == answer(name) for name in names if key(name) in kept)
    return {name for name in names if key(name) in kept}


def only_file(folder: Path) -> Path:
    (file,) = folder.glob("*.sqlite")
    return file


def started(script: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)],
        env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finished(process: subprocess.Popen[str]) -> None:
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said


def test_nothing_is_made_before_the_first_question_and_later_runs_find_what_was_kept(tmp_path):
    store = Store(tmp_path / "deep" / "answers")
    assert not (tmp_path / "deep").exists()
    assert store.get([key("new")]) == {}
    store.add(rows("new", "other"))
    again = Store(tmp_path / "deep" / "answers")
    assert again.get([key("other"), key("absent"), key("new")]) == rows("new", "other")
    assert store.notes == again.notes == []


def test_a_store_tells_earlier_answers_from_its_own(tmp_path):
    Store(tmp_path).add(rows(*range(700)))
    store = Store(tmp_path)
    assert len(found(store, range(1000))) == 700  # more than are read at once
    store.add(rows("mine"))
    store.get([key("mine")])
    assert (store.earlier, store.computed) == (700, 1)


def test_processes_that_write_at_once_lose_nothing(tmp_path):
    script = """
        import sys
        from pathlib import Path
        from harness.store import Store
        from test_store import found, rows
        store, start = Store(Path(sys.argv[1])), int(sys.argv[2])
        for name in range(start, start + 120, 3):
            store.add(rows(name, name + 1, name + 2))
        assert found(store, range(start, start + 120)) == set(range(start, start + 120)), store.notes
        assert not store.notes, store.notes
    """
    for writer in [started(script, tmp_path, start) for start in (0, 60, 90)]:
        finished(writer)
    assert found(Store(tmp_path), range(210)) == set(range(210))


def test_a_kill_at_any_moment_takes_nothing_that_was_kept(tmp_path):
    script = """
        import sys
        from pathlib import Path
        from harness.store import Store
        from test_store import rows
        store = Store(Path(sys.argv[1]))
        for name in range(int(sys.argv[2]), 10**9):
            store.add(rows(name))
            print(name, flush=True)
    """
    drawn, last = random.Random(7), -1
    for _ in range(12):
        with started(script, tmp_path, last + 1) as writer:
            for _ in range(drawn.randrange(1, 300)):
                last = int(writer.stdout.readline())
            writer.kill()
            last = max([last, *map(int, writer.stdout.read().split())])
        assert found(Store(tmp_path), range(last + 1)) == set(range(last + 1))
        with closing(sqlite3.connect(only_file(tmp_path))) as file:
            assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    litter = {file.name for file in tmp_path.iterdir()} - {only_file(tmp_path).name}
    assert litter <= {f"{only_file(tmp_path).name}-journal"}


def test_a_forked_process_opens_the_file_itself(tmp_path):
    store = Store(tmp_path)
    store.add(rows("parent"))
    child = os.fork()
    if child == 0:
        try:
            store.add(rows("child"))
            os._exit(0 if store.get([key("parent"), key("child")]) == rows("parent", "child") else 3)
        finally:
            os._exit(4)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    store.add(rows("parent again"))
    assert store.get([key("child"), key("parent again")]) == rows("child", "parent again")
    assert store.notes == []


def damaged_copies(whole: bytes) -> list[bytes]:
    drawn = random.Random(5)
    cut = [whole[:length] for length in (0, 1, 99, 100, 4096, 5000, len(whole) // 2, len(whole) - 1)]
    flipped = []
    for _ in range(40):
        copy = bytearray(whole)
        start = drawn.randrange(len(copy))
        copy[start : start + drawn.choice([1, 64, 5000])] = drawn.randbytes(len(copy[start : start + 1]))
        flipped.append(bytes(copy))
    return [b"no database at all" * 50, b"\xff" * len(whole), *cut, *flipped]


def test_a_damaged_file_gives_no_wrong_answer_and_the_next_run_keeps_again(tmp_path):
    Store(tmp_path / "whole").add(rows(*range(300)))
    name, whole = only_file(tmp_path / "whole").name, only_file(tmp_path / "whole").read_bytes()
    lost = 0
    for number, damaged in enumerate(damaged_copies(whole)):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / name).write_bytes(damaged)
        store = Store(folder)
        lost += len(found(store, range(300))) < 300
        store.add(rows(*range(300, 400)))
        assert found(store, range(300, 400)) == set(range(300, 400)), store.notes
        assert found(Store(folder), range(300, 400)) == set(range(300, 400))
        assert len(store.notes) <= 1
        assert len(list(folder.glob("*.sqlite"))) <= 2
    assert lost > 10


def test_a_changed_answer_is_taken_for_none_and_kept_anew(tmp_path):
    store = Store(tmp_path)
    store.add(rows(1, 2))
    with closing(sqlite3.connect(only_file(tmp_path), isolation_level=None)) as other:
        other.execute("UPDATE answers SET answer = (SELECT answer FROM answers WHERE key = ?)", (key(1),))
    assert found(store, range(3)) == {1}
    store.add(rows(2))
    assert found(store, range(3)) == {1, 2}


def test_a_file_that_is_damaged_again_and_again_leaves_one_behind(tmp_path):
    for _ in range(4):
        Store(tmp_path).add(rows(1))
        for file in tmp_path.glob("*.sqlite"):
            file.write_bytes(b"nothing that SQLite knows " * 40)
    store = Store(tmp_path)
    assert store.get([key(1)]) == {}
    assert len(list(tmp_path.iterdir())) == 2
    assert "were damaged and not used" in store.notes[0]


def test_a_file_of_another_schema_is_left_alone(tmp_path):
    newer = tmp_path / f"answers-{table.SCHEMA + 1}.0.sqlite"
    newer.write_bytes(b"of a later version")
    Store(tmp_path).add(rows(1))
    assert newer.read_bytes() == b"of a later version"
    assert found(Store(tmp_path), range(2)) == {1}


def test_a_full_disk_ends_the_keeping_and_not_the_run(tmp_path):
    script = """
        import resource, sys
        from pathlib import Path
        from harness.store import Store
        from test_store import found, rows
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))  # as a full disk, from here on
        store = Store(Path(sys.argv[1]))
        for name in range(2000):
            store.add(rows(name))
        assert found(store, range(2000)) == set(range(2000))
        assert len(store.notes) == 1 and "answers are not kept any more" in store.notes[0], store.notes
        assert store.computed == 2000
    """
    finished(started(script, tmp_path))
    kept = found(Store(tmp_path), range(2000))
    assert kept == set(range(len(kept)))
    assert 10 < len(kept) < 500


def test_what_cannot_be_written_can_still_be_read(tmp_path):
    Store(tmp_path).add(rows(1))
    store = Store(tmp_path)
    store.get([])
    store._table().execute("PRAGMA query_only = ON")
    store.add(rows(2))
    store.add(rows(3))
    assert found(store, range(4)) == {1, 2, 3}
    assert found(Store(tmp_path), range(4)) == {1}
    (note,) = store.notes
    assert "readonly" in note
    assert "--cache-dir" in note


@pytest.mark.parametrize("what", ["a file in its place", "a folder in place of the file"])
def test_a_place_that_cannot_be_used_is_one_note(tmp_path, what):
    if what == "a file in its place":
        (tmp_path / "answers").write_text("")
    else:
        (tmp_path / "answers" / f"answers-{table.SCHEMA}.0.sqlite").mkdir(parents=True)
    store = Store(tmp_path / "answers")
    assert store.get([key(1)]) == {}
    store.add(rows(1))
    assert store.get([key(1), key(2)]) == rows(1)  # as long as this process lives
    assert Store(tmp_path / "answers").get([key(1)]) == {}
    assert len(store.notes) == 1
    assert str(tmp_path / "answers") in store.notes[0]


def test_a_file_that_stays_locked_is_waited_for_once(tmp_path, monkeypatch):
    monkeypatch.setattr(table, "PATIENCE", 0.05)
    Store(tmp_path).add(rows(1))
    with closing(sqlite3.connect(only_file(tmp_path), isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        store = Store(tmp_path)
        assert store.get([key(1)]) == {}
    store.add(rows(2))
    assert len(store.notes) == 1
    assert "locked" in store.notes[0]
    assert found(Store(tmp_path), range(3)) == {1}


def test_what_nobody_asks_for_leaves_when_there_is_too_much(tmp_path, monkeypatch):
    day = 1000
    monkeypatch.setattr(table, "_today", lambda: day)
    monkeypatch.setattr(table, "AT_ONCE", 50)
    store = Store(tmp_path, limit=300_000)
    store.add(rows(*range(100)))
    for day in range(1001, 1040):
        assert found(store, range(20)) == set(range(20)), "these are of use every day"
        store.add(rows(*(f"{day}-{number}" for number in range(50))))
    assert found(store, range(20, 100)) == set()
    assert only_file(tmp_path).stat().st_size < 1.3 * store.limit
    assert store.get([key("1039-7")])


def test_the_limit_of_a_users_store_is_a_gigabyte():
    assert disk.LIMIT == Store(Path("never made")).limit == 2**30
