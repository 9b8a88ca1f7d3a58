"""Two whole models are in memory together only where both fit, and what is left is read from the system."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from harness.models import load as loading
from harness.models.fetch import Access
from harness.models.load import LoadOptions, load
from harness.models.memory import free_bytes, free_memory, needed_bytes
from harness.models.resident import HEADROOM, Residents
from harness.references import parse_reference
from tiny_checkpoint import write_tiny_checkpoint

CPU = torch.device("cpu")


@pytest.fixture
def two(tmp_path) -> tuple[Path, Path]:
    """Two checkpoints that are not the same."""
    one, other = (write_tiny_checkpoint(tmp_path / name) for name in ("one", "other"))
    weights = load_file(other / "model.safetensors")
    save_file({name: each + 0.1 for name, each in weights.items()}, other / "model.safetensors", {"format": "pt"})
    return one, other


class Machine:
    """Memory of which each model in it takes its share."""

    def __init__(self, monkeypatch, size):
        self.size, self.reads, self.alive = size, [], weakref.WeakSet()
        read = loading._module

        def counted(folder, *more):
            self.reads.append(folder.name)
            module = read(folder, *more)
            self.alive.add(module)
            return module

        monkeypatch.setattr(loading, "_module", counted)

    def free(self, _device):
        gc.collect()
        taken = sum(weight.numel() * weight.element_size() for module in self.alive for weight in module.parameters())
        return self.size - taken


def both(folders, machine, told, **options):
    residents = Residents(tell=told.append, free=machine.free)
    access = Access(folders[0].parent / "cache", offline=True)
    return [load(parse_reference(str(each)), LoadOptions(access, residents=residents, **options)) for each in folders]


def asked(model):
    return model.afresh().loglikelihood([("a b", " c")])[0].total


def test_two_models_that_fit_are_read_once_each(two, monkeypatch):
    machine, told = Machine(monkeypatch, 10 * needed_bytes(two[0], torch.float32)), []
    models = both(two, machine, told)
    assert len({asked(model) for _ in range(2) for model in models}) == 2
    assert (machine.reads, told) == (["one", "other"], [])


def test_of_two_that_do_not_fit_the_other_one_is_dropped_and_read_again(two, monkeypatch):
    machine, told = Machine(monkeypatch, int(HEADROOM * 1.5 * needed_bytes(two[0], torch.float32))), []
    models = both(two, machine, told)
    answers = [asked(model) for _ in range(2) for model in models]
    assert answers[:2] == answers[2:]
    assert machine.reads == ["one", "other", "one", "other"]
    gc.collect()
    assert len(machine.alive) == 1
    assert f"{two[0]} and {two[1]} do not fit into memory together" in told[0]


def test_a_model_that_fits_nowhere_is_still_tried(two, monkeypatch):
    machine, told = Machine(monkeypatch, 1), []
    (model,) = both(two[:1], machine, told)
    assert asked(model) == asked(model)
    assert (machine.reads, told) == (["one"], [])


def test_for_a_copy_that_its_owner_may_change_the_others_are_dropped(two, monkeypatch):
    machine, told = Machine(monkeypatch, int(HEADROOM * 1.5 * needed_bytes(two[0], torch.float32))), []
    residents = Residents(tell=told.append, free=machine.free)
    loads = LoadOptions(Access(two[0].parent / "cache", offline=True), residents=residents)
    shared, mine = (load(parse_reference(str(two[0])), replace(loads, own=own)) for own in (False, True))
    expected = asked(shared)
    assert asked(mine) == expected
    assert f"{two[0]} and a copy of {two[0]} do not fit" in told[0]
    assert len(machine.alive) == 1
    with torch.no_grad():
        mine.module.model.norm.weight += 1
    assert asked(mine) != expected
    assert asked(shared) == expected


def test_in_half_precision_two_fit_where_one_did(two, monkeypatch):
    machine, told = Machine(monkeypatch, int(HEADROOM * 1.5 * needed_bytes(two[0], torch.float32))), []
    models = both(two, machine, told, dtype="bfloat16")
    assert len({asked(model) for _ in range(2) for model in models}) == 2
    assert (machine.reads, told) == (["one", "other"], [])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_what_a_checkpoint_needs_is_what_its_weights_take(dtype, tmp_path):
    folder = write_tiny_checkpoint(tmp_path)
    module = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    taken = sum(weight.numel() * weight.element_size() for weight in module.parameters())
    assert needed_bytes(folder, dtype) == taken
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    assert needed_bytes(folder, dtype) == (tmp_path / "pytorch_model.bin").stat().st_size


def machine_of(tmp_path, groups=(), membership="", available=8_000):
    """A made-up ``/proc`` and ``/sys/fs/cgroup``."""
    proc, cgroups = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_text(f"MemTotal: 9000 kB\nMemAvailable:    {available} kB\nHugePages_Total: 0\n")
    (proc / "self" / "cgroup").write_text(membership)
    for folder, files in groups:
        (cgroups / folder).mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (cgroups / folder / name).write_text(text)
    return free_memory(proc, cgroups)


SECOND = {"memory.max": "5000000\n", "memory.current": "4000000\n", "memory.stat": "anon 1\ninactive_file 300\n"}
UNBOUNDED = SECOND | {"memory.max": "max\n"}
FIRST = {
    "memory.limit_in_bytes": "6000000\n",
    "memory.usage_in_bytes": "5000000\n",
    "memory.stat": "cache 7\ntotal_inactive_file 40\n",
}


@pytest.mark.parametrize(
    ("groups", "membership", "left"),
    [
        ([], "", 8_192_000),
        ([("", SECOND)], "0::/\n", 1_000_300),
        ([("a", SECOND), ("a/b", UNBOUNDED)], "0::/a/b\n", 1_000_300),
        ([("", UNBOUNDED)], "0::/\n", 8_192_000),
        ([("", SECOND)], "0::/not/seen/from/here\n", 1_000_300),
        ([("memory", FIRST)], "9:cpuset:/x\n4:memory:/docker/x\n0::/\n", 1_000_040),
        ([("memory/a", FIRST)], "4:cpu,memory:/a\n", 1_000_040),
    ],
)
def test_what_is_left_is_the_least_of_machine_and_container(groups, membership, left, tmp_path):
    assert machine_of(tmp_path, groups, membership) == left


def test_a_system_that_does_not_tell_is_taken_at_its_word(tmp_path):
    assert free_memory(tmp_path, tmp_path) is None
    assert free_bytes(torch.device("mps")) is None


@pytest.mark.skipif(not Path("/proc/meminfo").is_file(), reason="only Linux tells what memory is left")
def test_this_machine_has_memory_left():
    assert 0 < free_bytes(CPU) < 1 << 50


def test_models_without_residents_are_their_owners_alone(two):
    options = LoadOptions(Access(two[0].parent / "cache", offline=True))
    one, same = (load(parse_reference(str(two[0])), options) for _ in range(2))
    assert one.module is not same.module
    shared = replace(options, residents=Residents())
    one, same = (load(parse_reference(str(two[0])), shared) for _ in range(2))
    assert one.module is same.module
