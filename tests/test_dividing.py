"""A run by several processes: one loads the model, or one for each GPU, and what is reported is that of one process."""

from __future__ import annotations

import json
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest
import torch

from asked_of_models import run_suites
from harness.plugin.devices import gpus
from harness.plugin.dividing import COMPUTING, number_of, share_machine

FILES = ("suites/test_template.py", "suites/test_stopping.py", "suites/test_forgetting.py")


def test_one_worker_of_three_loads_the_weights_and_the_others_look_at_the_files(tmp_path):
    done, cases = run_suites(tmp_path, *FILES, "--limit", "4", "-n", "3")
    assert done.returncode == 0, done.stdout[-3000:]
    asked = {each["worker"] for each in cases if each["calls"]}
    assert len(asked) == 1
    assert {each["worker"] for each in cases if not each["work"]} - asked
    assert len({each["case"] for each in cases}) == len(cases)


MEASURED = """
import pytest
from harness.records import Measurement, SampleScore

@pytest.mark.parametrize("name", ["history", "music"])
def test_knowledge(model, gate, note, name):
    note(f"NAME asks about {name}")
    scores = {f"q{i}": SampleScore((float(i < 30),), "d") for i in range(40)}
    gate(Measurement(f"{name} of NAME/acc", "acc", 0.75, 0.07, 40, "metric:acc", True, scores))

@pytest.mark.data
def test_files(note):
    note("NAME has rows")

@pytest.fixture
def model(): ...
"""


def test_baseline_and_report_are_those_of_one_process(project):
    project.makepyfile(**{f"test_{name}": MEASURED.replace("NAME", name) for name in ("one", "two", "three")})
    stored, reports = [], []
    for workers in ("0", "2"):
        run = ("-n", workers, "--baseline", "main", "--baseline-dir", workers, "--baseline-update")
        assert project.runpytest_subprocess(*run, "--report", "report.json").ret == 0
        stored.append([path.read_text(encoding="utf-8") for path in sorted((project.path / workers).rglob("*.json*"))])
        report = json.loads((project.path / "report.json").read_text(encoding="utf-8"))
        assert report.pop("peaks")[0]["process"] == ("" if workers == "0" else "gw0")
        assert report["notes"].pop().startswith("stored 6 measurements")
        reports.append(report)
    assert stored[1] == stored[0]
    assert reports[1] == reports[0]
    assert reports[0]["notes"][:3] == [f"{name} has rows" for name in ("one", "three", "two")]


CASES = """
import os
import pytest

@pytest.fixture(scope="session")
def model(tmp_path_factory):
    return "weights"

def write(name):
    with open("ran", "a") as file:
        file.write(f"{name} {os.environ['PYTEST_XDIST_WORKER']} {os.environ.get('CUDA_VISIBLE_DEVICES')}\\n")

@pytest.mark.parametrize("number", range(4))
@pytest.mark.quality
def test_answers_of_NAME(model, number):
    write("NAME")

@pytest.mark.parametrize("number", range(4))
@pytest.mark.quality
def test_files_of_NAME(number):
    write("files")

@pytest.mark.parametrize("number", range(6))
def test_beside_NAME(number):
    write("beside")
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    pytester.makeconftest('pytest_plugins = ["harness.plugin"]')
    pytester.makeini("[pytest]\naddopts = -p no:cacheprovider")
    pytester.makepyfile(**{f"test_{name}": CASES.replace("NAME", name) for name in ("one", "two", "three")})
    return pytester


def ran(project: pytest.Pytester, *arguments: str) -> dict[str, set[tuple[str, str]]]:
    """What was asked, with the workers that did it and the GPUs that these saw."""
    project.runpytest_subprocess(*arguments).assert_outcomes(passed=42)
    found: dict[str, set[tuple[str, str]]] = {}
    for line in (project.path / "ran").read_text(encoding="utf-8").splitlines():
        name, worker, gpu = line.split()
        found.setdefault(name, set()).add((worker, gpu))
    return found


@pytest.mark.parametrize("workers", ["1", "3"])
def test_without_gpus_one_worker_gets_all_that_ask_a_model(project, workers):
    found = ran(project, "-n", workers, "--device", "cpu")
    assert len(found["one"] | found["two"] | found["three"]) == 1


@pytest.mark.parametrize("workers", ["2", "3"])
def test_with_two_gpus_two_workers_have_one_each_and_a_file_stays_together(project, monkeypatch, workers):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-a,GPU-b")
    found = ran(project, "-n", workers)
    computing = found["one"] | found["two"] | found["three"]
    assert [len(found[name]) for name in ("one", "two", "three")] == [1, 1, 1]
    assert {gpu for _, gpu in computing} == {"GPU-a", "GPU-b"}
    assert len(computing) == 2


def test_a_gpu_that_the_user_names_by_number_is_not_shared_out(project, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    found = ran(project, "-n", "3", "--device", "cuda:1")
    assert len(found["one"] | found["two"] | found["three"]) == 1
    assert {gpu for each in found.values() for _, gpu in each} == {"0,1"}


def test_a_distribution_of_the_users_own_is_kept_and_each_worker_still_has_its_gpu(project, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    found = ran(project, "-n", "3", "--dist", "loadfile")
    assert found["one"] | found["two"] | found["three"] == {("gw0", "4"), ("gw1", "7"), ("gw2", "4")}


def test_no_name_of_a_case_changes_where_it_is_shown(project):
    project.makepyfile(test_one="import pytest\n@pytest.mark.quality\ndef test_red(): pytest.fail('red')\n")
    for name in ("two", "three"):
        (project.path / f"test_{name}.py").unlink()
    shown = {}
    for workers in ("0", "2"):
        result = project.runpytest_subprocess("-n", workers, "--junitxml", "junit.xml", "--report", "report.json", "-v")
        report = json.loads((project.path / "report.json").read_text(encoding="utf-8"))
        cases = [case.attrib["name"] for case in ElementTree.parse(project.path / "junit.xml").iter("testcase")]
        shown[workers] = (
            cases,
            report["broken"][0]["case"],
            [line for line in result.outlines if line.startswith("FAILED ")],
        )
    assert shown["2"] == shown["0"]


def test_a_case_that_kills_its_worker_is_told_once_and_the_others_still_run(project):
    project.makepyfile(
        test_one="import os, pytest\npytestmark = pytest.mark.quality\n"
        "@pytest.mark.parametrize('n', range(5))\ndef test_asks(model, n):\n    if n == 1: os._exit(3)\n"
    )
    for name in ("two", "three"):
        (project.path / f"test_{name}.py").unlink()
    result = project.runpytest_subprocess("-n", "2")
    result.assert_outcomes(passed=4, failed=1)
    result.stdout.fnmatch_lines(["*crashed while running 'test_one.py::test_asks?1?'*"])


def test_without_xdist_nothing_is_missing(project):
    result = project.runpytest_subprocess("-p", "no:xdist", "--collect-only", "-q")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["42 tests collected*"])


def test_torch_is_not_imported_above_the_workers_and_in_them_not_before_its_threads_know_how_to_wait(project):
    project.makeconftest(
        'import os, sys\npytest_plugins = ["harness.plugin"]\n'
        "def pytest_unconfigure(config):\n"
        "    if not hasattr(config, 'workerinput'): print('torch is', 'in' if 'torch' in sys.modules else 'out')\n"
        "def pytest_collection_finish():\n"
        "    if 'PYTEST_XDIST_WORKER' in os.environ:\n"
        "        assert 'torch' not in sys.modules and os.environ['OMP_WAIT_POLICY'] == 'passive'\n"
    )
    result = project.runpytest_subprocess("-n", "2")
    result.assert_outcomes(passed=42)
    result.stdout.fnmatch_lines(["*torch is out*"])


@pytest.mark.parametrize(
    ("device", "named", "expected"),
    [
        ("auto", None, ["0", "1", "2"]),
        ("cuda", None, ["0", "1", "2"]),
        ("cuda:1", None, []),
        ("cpu", "0,1", []),
        ("auto", "", []),
        ("auto", "2, GPU-8f", ["2", "GPU-8f"]),
        ("auto", "1,-1,0", ["1"]),
        ("auto", "NoDevFiles", []),
    ],
)
def test_gpus_are_those_that_cuda_shows(tmp_path, device, named, expected):
    for name in ("nvidia0", "nvidia1", "nvidia2", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / name).touch()
    environment = {} if named is None else {"CUDA_VISIBLE_DEVICES": named}
    assert gpus(device, environment, tmp_path) == expected


@pytest.mark.parametrize(
    ("worker", "threads"),
    [
        ({"workerid": "gw0", COMPUTING: 1}, 8),
        ({"workerid": "gw1", COMPUTING: 1}, 1),
        ({"workerid": "gw1", COMPUTING: 2}, 4),
        ({"workerid": "gw4", COMPUTING: 1}, 8),  # in the place of one that crashed
        ({"workerid": "gw3"}, 2),  # the user's own --dist: any worker may compute
    ],
)
def test_the_cores_are_for_those_that_compute(monkeypatch, worker, threads):
    found = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 8)
    monkeypatch.setattr(torch, "set_num_threads", found.append)
    share_machine(SimpleNamespace(workerinput=worker | {"workercount": 4}, stash={}))
    assert found == [threads]


def test_outside_of_a_worker_the_cores_are_left_as_they_are(monkeypatch):
    monkeypatch.setattr(torch, "set_num_threads", lambda _: pytest.fail("nobody shares this machine"))
    share_machine(SimpleNamespace(stash={}))


def test_a_gpu_that_torch_does_not_see_is_one_sentence(project, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    project.makepyfile(test_one="import pytest\n@pytest.mark.mask\ndef test_it(access): ...")
    result = project.runpytest_subprocess("-n", "2", "test_one.py")
    if torch.cuda.is_available():
        pytest.skip("torch sees the GPUs of this machine")
    assert result.ret == 4
    result.stdout.fnmatch_lines(["*worker gw* was given GPU [01], where torch sees none; *--device cpu*"])
    assert "Traceback" not in result.stdout.str()


@pytest.mark.parametrize(("name", "number"), [("gw0", 0), ("gw12", 12), ("mine", 0)])
def test_a_worker_has_a_number_whatever_it_is_called(name, number):
    assert number_of(name) == number
