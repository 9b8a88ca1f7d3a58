"""The hand-over suite on the files of whole models: tensors without a place, indexes, shards, types and links."""

import json
import shutil
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from harness.errors import ModelError
from harness.findings import silent
from harness.handover.checks import FILES
from harness.handover.places import every_tensor_is_where_the_index_says, every_weight_has_its_place
from harness.models.files import read_files
from harness.models.weight_files import stored_tensors
from harness.references import Trust, parse_reference
from harness.training.data import without_bars
from harness.zoo.deliveries import (
    adapted,
    base,
    copied,
    delivered,
    json_changed,
    saved,
    tensors_changed,
)

WHOLE = "model.safetensors"
INDEX = f"{WHOLE}.index.json"
NUMBERS = FILES["handover/the_files_hold_numbers"]


def tensors(change):
    return tensors_changed(WHOLE, change)


def without(part):
    return tensors(lambda all_: {name: each for name, each in all_.items() if part not in name})


def beside(**more):
    return tensors(lambda all_: all_ | {name.replace("__", "."): each for name, each in more.items()})


def every_layer(name, value):
    return beside(**{f"model__layers__{layer}__self_attn__{name}": value(layer) for layer in (0, 1)})


def renamed(change):
    return tensors(lambda all_: {change(name): each for name, each in all_.items()})


def sharded(folder):
    with without_bars():
        model = AutoModelForCausalLM.from_pretrained(folder)
        (folder / WHOLE).unlink()
        model.save_pretrained(folder, max_shard_size="40KB")


def mapped_otherwise(change):
    def apply(folder):
        sharded(folder)
        index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        change(index["weight_map"])
        (folder / INDEX).write_text(json.dumps(index), encoding="utf-8")

    return apply


def both_versions(change):
    """A single file beside the shards of another save, or of the same one."""

    def apply(folder):
        for path in copied(folder, sharded).glob("model*"):
            shutil.copy(path, folder)
        change(folder)

    return apply


LOST = {
    "layers that the config leaves out": json_changed("config.json", num_hidden_layers=1),
    "layers that no file holds": json_changed("config.json", num_hidden_layers=3),
    "a head that is not tied any more": lambda folder: (
        without("lm_head")(folder),
        json_changed("config.json", tie_word_embeddings=False)(folder),
    ),
    "a wrapper's prefix": renamed("module.{}".format),
    "a compiled wrapper's prefix": renamed("_orig_mod.{}".format),
    "an adapter that was not merged": every_layer("q_proj__lora_A__weight", lambda layer: torch.randn(4, 32) + layer),
    "biases that the config does not know": every_layer("q_proj__bias", lambda layer: torch.randn(32) + layer),
    "a matrix of another shape": beside(lm_head__weight=torch.ones(3, 3)),
}

PLACED = {
    "as it was saved": lambda folder: None,
    "in shards": sharded,
    "names without the model's own": renamed(lambda name: name.removeprefix("model.")),
    "frequencies that older libraries saved": every_layer("rotary_emb__inv_freq", lambda _: torch.ones(8)),
    "masks that older libraries saved": every_layer("masked_bias", lambda _: torch.tensor([-1e4])),
    "a head for another purpose": beside(v_head__weight=torch.ones(1, 32)),
    "layers that predict further ahead": beside(mtp__layers__0__q_proj__weight=torch.ones(32, 32)),
}


@pytest.mark.parametrize("change", LOST.values(), ids=LOST)
def test_weights_without_a_place_are_found(change):
    (finding,) = every_weight_has_its_place(delivered(copied(base(), change)), silent)
    assert "config.json describes" in finding.what


@pytest.mark.parametrize("change", PLACED.values(), ids=PLACED)
def test_weights_in_their_places_are_no_finding(change):
    assert every_weight_has_its_place(delivered(copied(base(), change)), silent) == []


def test_what_the_original_has_beside_its_model_is_no_finding():
    strange = every_layer("q_proj__extra", lambda layer: torch.randn(4) + layer)
    original = copied(base(), strange)
    assert every_weight_has_its_place(delivered(original), silent) != []
    assert every_weight_has_its_place(delivered(copied(original, lambda _: None), same_as=original), silent) == []


def test_a_checkpoint_that_is_not_loadable_so_is_noted():
    notes = []
    folder = copied(base(), json_changed("config.json", quantization_config={"quant_method": "gptq", "bits": 4}))
    assert every_weight_has_its_place(delivered(folder), notes.append) == []
    assert "cannot be held against" in notes[0]


def moved(places):
    first = min(places)
    places[first] = next(file for file in sorted(places.values()) if file != places[first])


def forgotten(places):
    del places[max(places)]


@pytest.mark.parametrize("change", [moved, forgotten])
def test_an_index_that_is_not_that_of_its_files_is_found(change):
    (finding,) = every_tensor_is_where_the_index_says(delivered(copied(base(), mapped_otherwise(change))), silent)
    assert "disagree" in finding.what
    assert every_tensor_is_where_the_index_says(delivered(copied(base(), sharded)), silent) == []


def test_a_second_version_of_the_weights_is_found_and_a_copy_is_not():
    later = both_versions(tensors(lambda all_: {name: each + 1 for name, each in all_.items()}))
    (finding,) = every_tensor_is_where_the_index_says(delivered(copied(base(), later)), silent)
    assert "two versions" in finding.what
    assert every_tensor_is_where_the_index_says(delivered(copied(base(), both_versions(lambda _: None))), silent) == []


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"weight_map": 3}'])
def test_a_damaged_index_is_one_sentence(text):
    folder = copied(base(), sharded)
    (folder / INDEX).write_text(text, encoding="utf-8")
    for check in (every_tensor_is_where_the_index_says, FILES["handover/files_are_complete"]):
        with pytest.raises(ModelError, match="no index of weights"):
            check(delivered(folder), silent)


def test_eight_bit_weights_are_looked_at_and_a_merge_beside_an_adapter_is_not_its_own():
    def eight(broken):
        return lambda all_: {name: (each / broken).to(torch.float8_e5m2) for name, each in all_.items()}

    assert NUMBERS(delivered(copied(base(), tensors(eight(1)))), silent) == []
    assert NUMBERS(delivered(copied(base(), tensors(eight(0)))), silent) != []
    adapter = copied(saved(adapted(base()), base()), lambda folder: shutil.copy(base() / WHOLE, folder))
    assert FILES["handover/every_adapter_tensor_has_its_place"](delivered(adapter), silent) == []


def test_pickled_weights_are_noted_and_a_dangling_link_is_one_sentence():
    def pickled(folder):
        torch.save(load_file(folder / WHOLE), folder / "pytorch_model.bin")
        (folder / WHOLE).unlink()

    notes, folder, trust = [], copied(base(), pickled), Trust(pickle=True)
    whole = delivered(base())
    files = read_files(parse_reference(str(folder), trust), whole.loading.access, trust=trust)
    assert NUMBERS(replace(whole, files=files), notes.append) == []
    assert "no safetensors" in notes[0]
    (folder / WHOLE).symlink_to(folder / "moved.safetensors")
    with pytest.raises(ModelError, match="a link to a file that is not there"):
        stored_tensors(folder)
    save_file({"a": torch.ones(1)}, folder / "moved.safetensors")
    assert set(stored_tensors(folder)) == {"a"}
