"""The hand-over suite on adapters of every kind that peft saves, and on configs that it does not read."""

import warnings

import peft
import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from harness.errors import ModelError
from harness.findings import silent
from harness.handover.checks import FILES, WEIGHTS
from harness.handover.probes import logits_of, probes_of
from harness.training.data import without_bars
from harness.zoo.deliveries import adapted, base, copied, delivered, files_of, json_changed, merged, place, saved

ALL = FILES | WEIGHTS
SAME = WEIGHTS["handover/the_model_equals_what_it_was_made_from"]
CAUSAL = {"task_type": "CAUSAL_LM"}
ON = CAUSAL | {"target_modules": ["q_proj", "v_proj"]}

METHODS = {
    "ShiraConfig": ON | {"r": 2},
    "FrodConfig": ON,
    "AdamssConfig": ON,
    "UniLoraConfig": ON,
    "VeraConfig": ON,
    "LoKrConfig": ON,
    "OFTConfig": ON | {"oft_block_size": 8, "r": 0},
    "LNTuningConfig": CAUSAL,
    "AdaptionPromptConfig": CAUSAL | {"adapter_len": 4, "adapter_layers": 1},
    "PromptTuningConfig": CAUSAL | {"num_virtual_tokens": 4},
    "TrainableTokensConfig": CAUSAL | {"token_indices": [8, 9]},
}


def found_in(delivery):
    return {name.removeprefix("handover/"): found for name, check in ALL.items() if (found := check(delivery, silent))}


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
@pytest.mark.parametrize("method", METHODS)
def test_every_method_that_is_sound_raises_no_alarm(method):
    if not hasattr(peft, method):
        pytest.skip(f"this version of peft has no {method}")
    config = getattr(peft, method)(**METHODS[method])
    assert found_in(delivered(saved(adapted(base(), config=config), base()))) == {}


def with_a_new_token(**options):
    """A base that got one more token and an adapter on it, saved as peft saves it, with its tokenizer."""
    folder, on = place("adapter"), base()
    with without_bars(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model, tokenizer = AutoModelForCausalLM.from_pretrained(on), AutoTokenizer.from_pretrained(on)
        tokenizer.add_special_tokens({"additional_special_tokens": ["<|new|>"]})
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        tuned = get_peft_model(model, LoraConfig(**ON, **options))
        for name, weight in tuned.named_parameters():
            if weight.requires_grad and "lora_A" not in name:
                weight.data += 0.05 * torch.randn_like(weight)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # peft says that it saves the embedding too
            tuned.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    json_changed("adapter_config.json", base_model_name_or_path=str(on))(folder)
    return folder, tuned, len(tokenizer)


@pytest.mark.parametrize("trained", ["rows", "tables"])
def test_an_adapter_that_brings_new_tokens_sits_on_its_base(trained):
    new = len(AutoTokenizer.from_pretrained(base()))
    tables = {"modules_to_save": ["embed_tokens", "lm_head"]}
    folder, tuned, size = with_a_new_token(**({"trainable_token_indices": [new]} if trained == "rows" else tables))
    assert files_of(folder).vocab_rows == size == new + 1
    assert found_in(delivered(folder)) == {}
    whole = place("merged")
    with without_bars():
        tuned.merge_and_unload().save_pretrained(whole)
    AutoTokenizer.from_pretrained(folder).save_pretrained(whole)
    assert SAME(delivered(whole, same_as=folder), silent) == []


def test_virtual_tokens_are_no_rows_of_the_embedding():
    config = peft.PromptTuningConfig(**METHODS["PromptTuningConfig"])
    on = base()
    embedding = load_file(on / "model.safetensors")["model.embed_tokens.weight"]
    assert files_of(saved(adapted(on, config=config), on)).vocab_rows == embedding.shape[0]


def test_tokens_that_an_adapter_names_are_asked_and_their_loss_in_a_merge_is_found():
    config = peft.TrainableTokensConfig(**METHODS["TrainableTokensConfig"])
    original = saved(adapted(base(), config=config), base())
    assert {8, 9} <= set(probes_of(files_of(original))[-1])
    assert SAME(delivered(merged(adapted(base(), config=config), base()), same_as=original), silent) == []
    assert SAME(delivered(copied(base(), lambda _: None), same_as=original), silent) != []


def test_layers_that_are_repeated_cannot_be_merged_and_nothing_falls_over():
    notes = []
    delivery = delivered(saved(adapted(base(), layer_replication=[[0, 2], [1, 2]]), base()))
    found = {name for name, check in ALL.items() if check(delivery, notes.append)}
    assert found == {"handover/merging_keeps_the_model"}
    assert any("cannot be saved" in note for note in notes)


def test_a_method_that_peft_does_not_know_is_one_sentence():
    folder = copied(saved(adapted(base()), base()), json_changed("adapter_config.json", peft_type="MAGIC"))
    delivery = delivered(folder)
    for check in ALL.values():
        try:
            found = check(delivery, silent)
        except ModelError as error:
            assert "peft cannot read it" in str(error)  # noqa: PT017 - what must not happen is another error
        else:
            assert found == []


def test_a_pattern_of_no_module_is_told_by_one_check():
    folder = copied(saved(adapted(base()), base()), json_changed("adapter_config.json", target_modules=".*nothing"))
    found = {name for name, check in FILES.items() if check(delivered(folder), silent)}
    assert found == {"handover/every_adapter_tensor_has_its_place"}


def test_a_merge_beside_its_adapter_is_left_alone():
    adapter, whole = saved(adapted(base()), base()), merged(adapted(base()), base())
    (adapter / "model.safetensors").write_bytes((whole / "model.safetensors").read_bytes())
    assert found_in(delivered(adapter)) == {}


def test_a_model_that_wants_more_than_token_ids_is_one_sentence():
    class Asks(torch.nn.Module):
        device = torch.device("cpu")

        def forward(self, **_):
            raise ValueError("task_ids should not be None")

    with pytest.raises(ModelError, match="gives no logits for token ids alone"):
        logits_of(Asks(), [[1, 2]])


def test_a_base_that_is_itself_an_adapter_is_one_sentence():
    adapter = saved(adapted(base()), base())
    stacked = copied(adapter, json_changed("adapter_config.json", base_model_name_or_path=str(adapter)))
    with pytest.raises(ModelError, match="is an adapter itself"):
        files_of(stacked)


def test_a_record_that_somebody_edited_is_no_crash():
    facts = {"base_weights": "zz", "base_sample": ["x"] * 64, "adapter_scaling": {"q_proj": "two"}}
    delivery = delivered(saved(adapted(base()), base(), **facts))
    assert {name for name, check in FILES.items() if check(delivery, silent)} == {
        "handover/the_base_is_the_one_trained_on"
    }
