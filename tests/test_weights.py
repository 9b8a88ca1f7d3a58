"""Weights are read when a model is first asked, and what is known without them is what they will say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from harness.errors import ModelError
from harness.inspection import answers
from harness.models import load as loading
from harness.models.fetch import Access
from harness.models.load import LoadOptions, load
from harness.models.weights import InMemory
from harness.references import parse_reference
from harness.store import Memory
from harness.zoo.engines import SAMPLES
from tiny_checkpoint import write_tiny_checkpoint


@pytest.fixture
def reads(monkeypatch) -> list[Path]:
    """The folders whose weights have been read."""
    folders: list[Path] = []
    read = loading._module

    def counted(folder, *more):
        folders.append(folder)
        return read(folder, *more)

    monkeypatch.setattr(loading, "_module", counted)
    return folders


def model_of(folder: Path, **options):
    return load(parse_reference(str(folder)), LoadOptions(Access(folder.parent / "cache", offline=True), **options))


@pytest.mark.parametrize("dtype", ["auto", "float32", "bfloat16"])
def test_facts_are_known_without_weights_and_are_theirs(dtype, tmp_path, reads):
    model = model_of(write_tiny_checkpoint(tmp_path), dtype=dtype)
    known = (model.device, model.dtype, model.longest, model.room("a b"), model.stop_ids, model.template_digest)
    assert reads == []
    loaded = replace(model, weights=InMemory(model.module))
    assert known[:4] == (loaded.device, loaded.dtype, loaded.longest, loaded.room("a b"))
    assert known[1] == str(model.module.dtype).removeprefix("torch.")
    assert model.module.generation_config.eos_token_id in known[4]


def test_copies_of_a_model_share_its_weights_and_read_them_once(tmp_path, reads):
    model = model_of(write_tiny_checkpoint(tmp_path))
    other = replace(model, name="other")
    assert other.module is model.module
    model.loglikelihood([("a", "b")])
    assert reads == [tmp_path]


LOOKED_AT = (
    answers.answers_are_what_their_ids_say,
    answers.most_answers_end,
    answers.few_answers_are_empty,
    answers.answers_leak_no_control_text,
)


def test_answers_that_are_kept_are_looked_at_without_weights(tmp_path, reads):
    folder, kept = write_tiny_checkpoint(tmp_path), Memory()
    first, again = (model_of(folder, answers=kept) for _ in range(2))
    found = [check(first, SAMPLES) for check in LOOKED_AT]
    assert reads == [folder]
    assert [check(again, SAMPLES) for check in LOOKED_AT] == found
    assert reads == [folder]


def test_what_is_wrong_with_weights_is_read_once_and_told_each_time(tmp_path, reads):
    write_tiny_checkpoint(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"\x00" * 64)
    model = model_of(tmp_path)
    for _ in range(2):
        with pytest.raises(ModelError, match="cannot load the weights"):
            model.loglikelihood([("a", "b")])
    assert reads == [tmp_path]


def test_a_gpu_computes_in_what_is_stored(tmp_path):
    folder = write_tiny_checkpoint(tmp_path)
    config = model_of(folder).weights.config
    gpu = torch.device("cuda", 0)
    config.dtype = torch.bfloat16
    assert loading._dtype("auto", gpu, config, folder) is torch.bfloat16
    config.dtype = None
    assert loading._dtype("auto", gpu, config, folder) is torch.float32
