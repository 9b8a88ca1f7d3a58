"""A checkpoint without its weights: what is read from the files is what the loaded model has."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from harness import demo
from harness.errors import ModelError, ModelReferenceError
from harness.models.fetch import Access
from harness.models.files import ModelFiles, read_files
from harness.models.load import LoadOptions, load
from harness.references import parse_reference
from tiny_checkpoint import write_tiny_checkpoint


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tiny_checkpoint(tmp_path / "tiny")


def access(folder: Path) -> Access:
    return Access(folder.parent / "cache", offline=True)


def read(folder: Path) -> ModelFiles:
    return read_files(parse_reference(str(folder)), access(folder))


def adapter_of(folder: Path, target: Path) -> Path:
    """A LoRA adapter on the checkpoint, its tokenizer left with the base."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    module = AutoModelForCausalLM.from_pretrained(folder)
    get_peft_model(module, LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")).save_pretrained(target)
    return target


def in_numbers(config: object) -> dict[str, object]:
    return {
        key: value for key, value in config.to_dict().items() if not key.startswith(("transformers_version", "output_"))
    }


@pytest.mark.parametrize("kept", [True, False], ids=["with generation_config.json", "without"])
def test_files_say_what_the_loaded_model_says(folder, kept):
    if not kept:
        (folder / "generation_config.json").unlink()
    files, model = read(folder), load(parse_reference(str(folder)), LoadOptions(access(folder)))
    assert in_numbers(files.generation_config) == in_numbers(model.module.generation_config)
    assert files.stop_ids == model.stop_ids
    assert files.vocab_rows == model.module.get_input_embeddings().weight.shape[0]
    assert dict(files.digests).items() <= model.digests.items()
    assert files.tokenizer.chat_template == model.tokenizer.chat_template


def test_the_demo_is_read_as_it_is_loaded(tmp_path):
    ref = parse_reference("demo:tuned")
    files, model = read_files(ref, access(tmp_path)), load(ref, LoadOptions(access(tmp_path)))
    assert in_numbers(files.generation_config) == in_numbers(model.module.generation_config)
    assert files.vocab_rows == model.module.get_input_embeddings().weight.shape[0]


def test_an_adapter_is_read_with_the_tokenizer_and_settings_of_its_base(folder, tmp_path):
    adapter = adapter_of(folder, tmp_path / "adapter")
    files = read(adapter)
    assert (files.home, files.base, files.base_name) == (folder, folder, str(folder))
    assert files.vocab_rows == read(folder).vocab_rows
    assert load(parse_reference(str(adapter)), LoadOptions(access(folder))).digests.keys() == {
        "weights",
        "adapter",
        "tokenizer",
        "template",
    }


def test_an_adapters_own_tokenizer_comes_first(folder, tmp_path):
    adapter = adapter_of(folder, tmp_path / "adapter")
    tokenizer = read(folder).tokenizer
    tokenizer.chat_template = "{{ messages[0].content }}{{ eos_token }}"
    tokenizer.save_pretrained(adapter)
    assert read(adapter).home == adapter
    assert read(adapter).tokenizer.chat_template == tokenizer.chat_template


def test_weights_are_never_read(folder):
    """Only the header of the weights is there, so whoever reads more fails."""
    path = folder / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[: 8 + int.from_bytes(whole[:8], "little")])
    assert read(folder).vocab_rows == read_files(parse_reference(str(folder)), access(folder)).config.vocab_size


def test_a_header_tells_the_rows_where_config_json_does_not_agree(folder):
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    rows = config["vocab_size"]
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": rows + 7}), encoding="utf-8")
    assert read(folder).vocab_rows == rows


def test_a_damaged_generation_config_is_named_and_not_taken_for_none(folder):
    (folder / "generation_config.json").write_text('{"eos_token_id": ', encoding="utf-8")
    with pytest.raises(ModelReferenceError, match=r"generation_config.json: not valid JSON at line 1"):
        read(folder)


def test_a_folder_without_a_tokenizer_is_one_sentence(tmp_path):
    folder = Path(shutil.copytree(demo.folder("tuned"), tmp_path / "model"))
    for path in folder.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(ModelError, match=r"tokenizer cannot be loaded") as raised:
        read(folder)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("stated", [[0, None], "<|im_end|>", [[0, 2]], True], ids=str)
def test_a_stop_id_that_is_none_stops_no_reading(folder, stated):
    file = folder / "generation_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"eos_token_id": stated}))
    assert read(folder).stop_ids == ({0} if stated == [0, None] else set())


def test_a_config_that_transformers_does_not_take_is_told_of_with_the_field(folder):
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"eos_token_id": [0, None]}))
    with pytest.raises(ModelError, match=r"transformers cannot read config.json .*Field 'eos_token_id' with value"):
        read(folder)
