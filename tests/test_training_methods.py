"""Methods of tuning: each trains, saves, is loaded again and computes the same; contradictions are one sentence."""

import json

import pytest
import torch

from harness.errors import RecipeError
from harness.models.fetch import Access
from harness.models.load import LoadOptions, load
from harness.references import parse_reference
from harness.training.recipe import load_recipe
from harness.training.run import train
from harness.training.trainer import gather
from tiny_checkpoint import write_tiny_checkpoint

COMMON = """
model_name_or_path: org/tiny
dataset_name: rows.jsonl
max_steps: 2
learning_rate: 1e-2
per_device_train_batch_size: 2
gradient_checkpointing: false
"""
LINEAR = "[q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj]"
METHODS = {
    "full": "",
    "LORA": "use_peft: true\nlora_r: 2\n",
    "LORA use_rslora": "use_peft: true\nlora_r: 4\nuse_rslora: true\n",
    "LORA use_dora": "use_peft: true\nlora_r: 2\nuse_dora: true\n",
    "PREFIX_TUNING": "peft_type: PREFIX_TUNING\npeft_config: {num_virtual_tokens: 4}\n",
    "PROMPT_TUNING": "peft_type: PROMPT_TUNING\npeft_config: {num_virtual_tokens: 4}\n",
    "SHADOW": "peft_type: SHADOW\npeft_config: {r: 4, auxiliary_loss_weight: 0.0}\n",
    "PEANUT": f"peft_type: PEANUT\npeft_config: {{r: 4, target_modules: {LINEAR}}}\n",
    "IA3": "peft_type: IA3\npeft_config: {target_modules: [k_proj, down_proj], feedforward_modules: [down_proj]}\n",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("methods")
    write_tiny_checkpoint(folder / "base")
    rows = [{"prompt": f"Say {word}.", "completion": f" {word}"} for word in ("one", "two", "three", "four")]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return folder


def recipe_of(place, text):
    path = place / "recipe.yaml"
    path.write_text(COMMON + text, encoding="utf-8")
    return load_recipe(path)


def base_of(place):
    return lambda _reference: str(place / "base")


@pytest.mark.parametrize("method", METHODS)
def test_a_method_trains_and_is_loaded_as_it_was(place, tmp_path, method, monkeypatch):
    kept = {}
    save = "trl.SFTTrainer.save_model"

    def save_and_keep(self, folder, _internal_call=False):
        ids = torch.tensor([[5, 6, 7, 8]])
        self.model.eval()
        with torch.no_grad():
            kept["logits"] = self.model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[:, -4:]
        original(self, folder, _internal_call)

    from trl import SFTTrainer

    original = SFTTrainer.save_model
    monkeypatch.setattr(save, save_and_keep)
    done = train(recipe_of(place, METHODS[method]), base_of(place), tmp_path)
    assert done.manifest["method"] == method
    assert 0 < done.manifest["parameters_trained"] <= done.manifest["parameters"]

    options = LoadOptions(Access(tmp_path), base=parse_reference(str(place / "base")) if method != "full" else None)
    loaded = load(parse_reference(str(done.folder)), options)
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        again = loaded.module(input_ids=ids, attention_mask=torch.ones_like(ids)).logits[:, -4:]
    assert torch.allclose(again, kept["logits"], atol=1e-5)


def test_the_manifest_says_by_what_each_update_is_multiplied(place, tmp_path):
    text = "use_peft: true\nlora_r: 4\nlora_alpha: 8\nuse_rslora: true\nlora_target_modules: [q_proj]\n"
    scaling = train(recipe_of(place, text), base_of(place), tmp_path).manifest["adapter_scaling"]
    # rsLoRA divides alpha by the square root of the rank (Kalajdzievski 2023).
    assert scaling == {f"model.layers.{layer}.self_attn.q_proj": 4.0 for layer in range(2)}


def test_virtual_tokens_turn_gradient_checkpointing_off_where_the_recipe_is_silent(place):
    silent = COMMON.replace("gradient_checkpointing: false\n", "") + METHODS["PREFIX_TUNING"]
    path = place / "recipe.yaml"
    path.write_text(silent, encoding="utf-8")
    assert gather(load_recipe(path), base_of(place), place).training.gradient_checkpointing is False


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("use_peft: true\npeft_type: IA3", "use_peft and peft_type: IA3 ask for two methods"),
        ("peft_config: {r: 4}", "peft_config: there is no peft_type that it belongs to"),
        ("peft_type: IA4", "peft_type: peft has no method 'IA4'; the nearest is 'IA3'"),
        ("peft_type: prefix-tuning", "peft has no method 'prefix-tuning'; the nearest is 'PREFIX_TUNING'"),
        ("peft_type: IA3\npeft_config: {target_module: [k_proj]}", "'target_module'; the nearest is 'target_modules'"),
        ("peft_type: IA3\npeft_config: {zzz: 1}", "IA3 has no setting 'zzz'; it has .*target_modules"),
        ("peft_type: IA3\npeft_config: {task_type: CAUSAL_LM}", "task_type is set by the training itself"),
        ("peft_type: IA3\npeft_config: [1]", "peft_config: .*is expected"),
        ("use_dora: true", "use_dora: without use_peft: true it has no effect"),
        ("lora_r: 8", "lora_r: without use_peft: true it has no effect"),
        ("peft_type: PREFIX_TUNING\npacking: true", "packing: PREFIX_TUNING puts virtual tokens before every text"),
        ("peft_type: P_TUNING\npadding_free: true", "padding_free: P_TUNING puts virtual tokens before every text"),
    ],
)
def test_contradictory_methods_are_one_sentence(place, text, sentence):
    with pytest.raises(RecipeError, match=sentence) as raised:
        recipe_of(place, text + "\n")
    assert "\n" not in str(raised.value)


def test_a_prefix_and_gradient_checkpointing_contradict_each_other(place):
    path = place / "recipe.yaml"
    text = COMMON.replace("checkpointing: false", "checkpointing: true") + METHODS["PREFIX_TUNING"]
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError, match="throws away the cache in which PREFIX_TUNING keeps its virtual tokens"):
        load_recipe(path)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("use_peft: true\nlora_target_modules: [q_proj, w_proj]", r"no module 'w_proj'; .*there are .*q_proj, k_proj"),
        ("use_peft: true\nlora_target_modules: [qproj]", "no module 'qproj'; the nearest is 'q_proj'"),
        (
            "peft_type: IA3\npeft_config: {target_modules: k_proj}",
            r"no module 'k_proj'; .* so write a list, \[k_proj\]",
        ),
        ("peft_type: IA3\npeft_config: {target_modules: '.*[.]nothing'}", "no module '.*nothing'"),
        ("use_peft: true\nlora_modules_to_save: [lm_haed]", "modules_to_save: base has no module 'lm_haed'"),
        ("peft_type: OFT\npeft_config: {r: 4, oft_block_size: 4}", "peft_config: peft refuses it"),
        ("peft_type: PREFIX_TUNING", "PREFIX_TUNING needs num_virtual_tokens, a whole number above 0, not None"),
    ],
)
def test_what_the_base_does_not_have_is_named(place, text, sentence):
    with pytest.raises(RecipeError, match=sentence) as raised:
        gather(recipe_of(place, text + "\n"), base_of(place), place)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            "peft_type: PREFIX_TUNING\npeft_config: {num_virtual_tokens: 300}",
            "300 virtual tokens and a row of 17 need more than the model's 256 positions",
        ),
        ("peft_type: POLY\npeft_config: {r: 2}", "the first step cannot be taken .*task_ids"),
        ("peft_type: TRAINABLE_TOKENS\npeft_config: {token_indices: [100000]}", "trl refuses it: index 100000 is out"),
        ("completion_only_loss: true\ndataset_name: chats.jsonl", "the rows of chats.jsonl have messages and no compl"),
        ("assistant_only_loss: true", "the rows of rows.jsonl have prompt and completion and no messages with roles"),
    ],
)
def test_what_cannot_be_trained_is_said_before_the_first_step(place, tmp_path, text, sentence):
    chat = {"messages": [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}]}
    (place / "chats.jsonl").write_text(json.dumps(chat), encoding="utf-8")
    path = place / "recipe.yaml"
    common = COMMON.replace("dataset_name: rows.jsonl\n", "") if "dataset_name" in text else COMMON
    path.write_text(common + text + "\n", encoding="utf-8")
    with pytest.raises(RecipeError, match=sentence) as raised:
        train(load_recipe(path), base_of(place), tmp_path)
    assert "\n" not in str(raised.value)


def test_a_method_switched_off_on_purpose_is_no_contradiction(place):
    recipe_of(place, "use_peft: false\nlora_r: 8\n")
