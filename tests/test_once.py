"""A folder that is built once: whole or not at all, by one of several, and again after a kill."""

import subprocess
import sys
import threading
import time

import pytest

from harness.once import built_once

SLOW_BUILDER = """
import sys, time
from pathlib import Path
from harness.once import built_once

def build(folder):
    (folder / "begun").touch()
    with open(sys.argv[2], "a") as log:
        log.write("built ")
    time.sleep(float(sys.argv[3]))
    (folder / "whole").touch()

print(built_once(Path(sys.argv[1]), build))
"""


def touch_whole(folder):
    (folder / "whole").touch()


def names(folder):
    """What stands there besides the lock, whose file may stay."""
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def test_the_second_use_builds_nothing(tmp_path):
    built = []
    for _ in range(2):
        folder = built_once(tmp_path / "deep" / "kept", lambda folder: built.append(folder) or touch_whole(folder))
        assert folder == tmp_path / "deep" / "kept"
        assert names(folder) == ["whole"]
    assert len(built) == 1


def test_an_error_while_building_leaves_nothing(tmp_path):
    def fail(folder):
        touch_whole(folder)
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError, match="disk full"):
        built_once(tmp_path / "kept", fail)
    assert names(tmp_path) == []
    assert names(built_once(tmp_path / "kept", touch_whole)) == ["whole"]


def test_threads_build_it_once(tmp_path):
    built = []

    def build(folder):
        built.append(folder)
        time.sleep(0.2)
        touch_whole(folder)

    threads = [threading.Thread(target=built_once, args=(tmp_path / "kept", build)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(built) == 1
    assert names(tmp_path) == ["kept"]


def start_builder(tmp_path, seconds):
    command = [sys.executable, "-c", SLOW_BUILDER, tmp_path / "kept", tmp_path / "log.txt", str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_processes_build_it_once_and_see_it_whole(tmp_path):
    builders = [start_builder(tmp_path, 0.5) for _ in range(2)]
    answers = [builder.communicate(timeout=60)[0].strip() for builder in builders]
    assert answers == [str(tmp_path / "kept")] * 2
    assert (tmp_path / "log.txt").read_text(encoding="utf-8") == "built "
    assert names(tmp_path / "kept") == ["begun", "whole"]


def test_what_a_killed_builder_left_is_cleared(tmp_path):
    builder = start_builder(tmp_path, 60)
    unfinished = tmp_path / "kept.unfinished"
    deadline = time.monotonic() + 30
    while not (unfinished / "begun").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    builder.kill()
    builder.communicate()
    assert names(unfinished) == ["begun"]
    assert not (tmp_path / "kept").exists()

    assert names(built_once(tmp_path / "kept", touch_whole)) == ["whole"]
    assert not unfinished.exists()
