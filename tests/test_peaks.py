"""The report says how much memory the run held at its most, and a baseline does not."""

from __future__ import annotations

import importlib.util
import json
import sys
import types

import pytest

from harness.plugin.peaks import peak_of
from harness.records import Peak, Report
from harness.report import numbers, to_json, to_markdown
from harness.report.summary import facts

CASE = """
import pytest
from harness.records import Measurement, SampleScore

@pytest.mark.forgetting
@pytest.mark.parametrize("name", ["small", "large"])
def test_memory(gate, name):
    held = bytearray(b"1" * (300 * 2**20 if name == "large" else 1))
    scores = {f"q{i}": SampleScore((1.0,), "d") for i in range(9)}
    gate(Measurement(f"{name}/acc", "acc", 1.0, 0.0, 9, "s", True, scores))
"""


def run(pytester: pytest.Pytester, *arguments: str) -> dict:
    pytester.makeconftest('pytest_plugins = ["harness.plugin"]')
    pytester.makeini("[pytest]\naddopts = -p no:cacheprovider")
    pytester.makepyfile(test_memory=CASE)
    assert pytester.runpytest_subprocess("--report", "report.json", *arguments).ret == 0
    return json.loads((pytester.path / "report.json").read_text(encoding="utf-8"))


def test_a_large_case_shows_in_the_report_and_not_in_the_baseline(pytester):
    (small,) = run(pytester, "-k", "small")["peaks"]
    (large,) = run(pytester, "--baseline-update")["peaks"]
    assert large["resident"] - small["resident"] > 250 * 2**20
    assert (small["process"], small["gpu"]) == ("", None)
    stored = (pytester.path / "baselines" / "main" / "baseline.json").read_text(encoding="utf-8")
    assert "peak" not in stored
    assert str(large["resident"]) not in stored


@pytest.mark.skipif(importlib.util.find_spec("xdist") is None, reason="needs pytest-xdist")
def test_each_worker_has_its_own(pytester):
    peaks = {each["process"]: each["resident"] for each in run(pytester, "-n", "2", "--dist", "each")["peaks"]}
    assert peaks.keys() == {"gw0", "gw1"}
    assert min(peaks.values()) > 300 * 2**20


def with_peaks(*peaks: Peak) -> Report:
    return Report(config={}, environment={}, measurements=(), verdicts=(), peaks=peaks)


def test_every_format_says_it():
    report = with_peaks(Peak("gw0", 812 * 2**20), Peak("gw1", 3 * 2**29, 5 * 2**30))
    assert facts(report)["peak memory"] == "gw0 812 MiB, gw1 1.50 GiB and 5.00 GiB on the GPU"
    assert facts(with_peaks(Peak("", 2**20))) == {"peak memory": "1 MiB"}
    assert facts(with_peaks()) == {}
    assert "gw1 1.50 GiB and 5.00 GiB on the GPU" in to_markdown(report)
    assert json.loads(to_json(report))["peaks"][1] == {"process": "gw1", "resident": 3 * 2**29, "gpu": 5 * 2**30}
    assert numbers.memory(2**30 - 2**20) == "1023 MiB"


def test_the_kernels_account_is_read(tmp_path):
    config = types.SimpleNamespace(workerinput={"workerid": "gw3"})
    (tmp_path / "status").write_text("Name:\tpython\nVmPeak:\t 9 kB\nVmHWM:\t  2048 kB\n", encoding="ascii")
    assert peak_of(config, tmp_path / "status") == {"gw3": Peak("gw3", 2 * 2**20)}
    (tmp_path / "status").write_text("Name:\tkthread\n", encoding="ascii")
    assert peak_of(config, tmp_path / "status") == {}


def torch_with(initialized, *allocated):
    """What is asked of torch, on a machine with these GPUs."""
    cuda = types.SimpleNamespace(
        is_initialized=lambda: initialized,
        device_count=lambda: len(allocated),
        max_memory_allocated=lambda number: allocated[number],
    )
    return types.SimpleNamespace(cuda=cuda)


@pytest.mark.parametrize(
    ("torch", "most"),
    [(None, None), (torch_with(False, 7), None), (torch_with(True, 0, 7), 7), (torch_with(True, 0), None)],
)
def test_the_fullest_gpu_counts_and_an_unused_one_is_none(torch, most, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch", torch)
    (peak,) = peak_of(types.SimpleNamespace(), tmp_path / "absent").values()
    assert peak.gpu == most


def test_a_system_without_such_a_file_is_asked_for_its_usage(tmp_path):
    (peak,) = peak_of(types.SimpleNamespace(), tmp_path / "absent").values()
    assert peak.process == ""
    assert peak.resident > 10 * 2**20
