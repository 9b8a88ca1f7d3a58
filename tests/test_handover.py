"""The hand-over suite on deliveries that are sound in other ways than the zoo's twins, and broken in others."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from peft import IA3Config, PrefixTuningConfig
from safetensors.torch import load_file, save_file

from harness import demo
from harness.errors import ModelError
from harness.findings import silent
from harness.handover.checks import FILES, WEIGHTS
from harness.handover.fresh import fresh_logits
from harness.handover.probes import distance, logits_of, probe_ids
from harness.models.weight_files import stored_tensors, weights_sample
from harness.provenance import WEIGHTS as WEIGHT_FILES
from harness.provenance import files_digest
from harness.training.manifest import adapter_scaling
from harness.zoo.deliveries import (
    adapted,
    base,
    copied,
    delivered,
    files_of,
    json_changed,
    merged,
    saved,
    tensors_changed,
)

ALL = FILES | WEIGHTS
ROOT = Path(__file__).parent.parent


def found_in(delivery):
    return {name.removeprefix("handover/"): found for name, check in ALL.items() if (found := check(delivery, silent))}


def recorded(model, on):
    facts = {"base_weights": files_digest(on, WEIGHT_FILES), "base_sample": weights_sample(on)}
    return saved(model, on, adapter_scaling=adapter_scaling(model), **facts)


METHODS = {
    "lora": {},
    "lora on all layers": {"target_modules": "all-linear"},
    "a pattern of names": {"target_modules": r".*layers\.0.*(q|v)_proj"},
    "rslora": {"use_rslora": True},
    "dora": {"use_dora": True},
    "patterns of rank": {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"v_proj": 3}},
    "trained biases": {"bias": "all"},
    "a saved head": {"modules_to_save": ["lm_head"]},
    "trained tokens": {"trainable_token_indices": [3, 4]},
    "ia3": {"config": IA3Config(task_type="CAUSAL_LM", target_modules=["k_proj"], feedforward_modules=[])},
}


@pytest.mark.parametrize("options", METHODS.values(), ids=METHODS)
@pytest.mark.parametrize("tied", [False, True], ids=["untied", "tied"])
def test_a_sound_adapter_raises_no_alarm(options, tied):
    if tied and "modules_to_save" in options:
        pytest.skip("a head that is trained apart from a tied embedding is looked at by itself")
    on = base(tied=tied)
    assert found_in(delivered(recorded(adapted(on, **options), on))) == {}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_a_merge_is_the_adapter_in_every_dtype(dtype):
    on = base(dtype=dtype)
    delivery = delivered(merged(adapted(on), on), same_as=saved(adapted(on), on), tuned_from=on)
    assert found_in(delivery) == {}


def test_a_base_in_other_files_is_the_same_base():
    notes = []
    on, half = base(), base(dtype=torch.bfloat16)
    folder = copied(recorded(adapted(on), on), json_changed("adapter_config.json", base_model_name_or_path=str(half)))
    assert FILES["handover/the_base_is_the_one_trained_on"](delivered(folder), notes.append) == []
    assert "other files" in notes[0]


def test_virtual_tokens_are_sound_and_what_padding_does_to_a_plain_pass_is_noted():
    config = PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4)
    delivery, notes = delivered(saved(adapted(base(), config=config, strength=1.0), base())), []
    assert found_in(delivery) == {}
    WEIGHTS["handover/padding_does_not_change_the_model"](delivery, notes.append)
    assert "position_ids" in notes[0]


def test_an_untrained_adapter_changes_nothing():
    found = found_in(delivered(saved(adapted(base(), strength=0.0), base())))
    assert set(found) == {"the_adapter_changes_something"}


def test_numbers_that_are_none_are_found():
    broken = tensors_changed(
        "model.safetensors", lambda tensors: tensors | {"lm_head.weight": tensors["lm_head.weight"] / 0}
    )
    assert "the_files_hold_numbers" in found_in(delivered(copied(base(), broken)))


def test_a_shape_that_the_config_does_not_plan_is_found():
    folder = copied(saved(adapted(base()), base()), json_changed("adapter_config.json", r=3))
    assert "every_adapter_tensor_has_its_place" in {
        name.removeprefix("handover/") for name, check in FILES.items() if check(delivered(folder), silent)
    }


def test_a_lost_shard_and_a_lost_generation_config_are_found():
    def lose(folder):
        index = {"metadata": {}, "weight_map": {"a": "model.safetensors", "b": "model-00002.safetensors"}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
        (folder / "generation_config.json").unlink()

    found = FILES["handover/files_are_complete"](delivered(copied(base(), lose), same_as=base()), silent)
    assert [each.what for each in found] == [
        "parts of the weights are missing",
        "the delivered model has lost generation_config.json",
    ]


def test_control_tokens_with_one_row_are_found():
    def merge_rows(tensors):
        embedding = tensors["model.embed_tokens.weight"]
        embedding[-1] = embedding[-2]
        return tensors

    folder = copied(base(), tensors_changed("model.safetensors", merge_rows))
    assert set(found_in(delivered(folder))) == {"control_tokens_can_be_told_apart"}


def test_another_scaling_than_that_of_the_original_is_found():
    original = saved(adapted(base()), base())
    changed = copied(original, json_changed("adapter_config.json", lora_alpha=64))
    found = found_in(delivered(changed, same_as=original))
    assert {"scaling_is_what_was_trained", "the_model_equals_what_it_was_made_from"} <= set(found)
    assert "16" in found["scaling_is_what_was_trained"][0].found


def test_a_template_that_writes_other_tokens_is_found_before_any_logits():
    def change(folder):
        path = folder / "chat_template.jinja"
        path.write_text(path.read_text(encoding="utf-8").replace("'\n'", "' '"), encoding="utf-8")

    (finding,) = found_in(delivered(copied(base(), change), same_as=base()))["the_model_equals_what_it_was_made_from"]
    assert finding.what == "the same conversations are other token ids"


def test_a_fresh_process_says_what_it_cannot_load(tmp_path):
    with pytest.raises(ModelError, match="a fresh process cannot load it"):
        fresh_logits(tmp_path, [[1, 2, 3]])
    files = files_of(demo.folder("tuned"))
    probes = probe_ids(files.tokenizer)
    assert [each.shape[0] for each in fresh_logits(demo.folder("tuned"), probes)] == [len(ids) for ids in probes]


def test_the_distance_of_a_model_from_itself_is_zero_and_grows_with_noise():
    torch.manual_seed(0)
    logits = [torch.randn(5, 20), torch.randn(3, 20)]
    assert distance(logits, logits).kl == 0.0
    near, far = (distance(logits, [each + s * torch.randn_like(each) for each in logits]) for s in (0.01, 1.0))
    assert 0 < near.kl < far.kl
    by_hand = torch.nn.functional.kl_div(
        torch.log_softmax(logits[0] + 1.0 * torch.eye(5, 20), -1),
        torch.log_softmax(logits[0], -1),
        log_target=True,
        reduction="batchmean",
    )
    assert distance(logits[:1], [logits[0] + 1.0 * torch.eye(5, 20)]).kl == pytest.approx(float(by_hand), rel=1e-5)


def test_logits_that_are_no_numbers_are_infinitely_far():
    assert distance([torch.zeros(2, 3)], [torch.full((2, 3), torch.nan)]).kl == float("inf")


def test_half_a_file_is_one_sentence(tmp_path):
    save_file({"a": torch.ones(100, 100)}, tmp_path / "model.safetensors")
    whole = (tmp_path / "model.safetensors").read_bytes()
    for cut in (4, 40, len(whole) - 10):
        (tmp_path / "model.safetensors").write_bytes(whole[:cut])
        with pytest.raises(ModelError, match=r"cut off|no safetensors|damaged"):
            stored_tensors(tmp_path)


def test_the_suite_says_what_it_cannot_look_at_and_holds_a_copy_to_its_original(tmp_path):
    copy = copied(demo.folder("tuned"), lambda folder: None)
    arguments = ["suites/test_handover.py", "--model", str(copy), "--same-as", "demo:tuned", "-q", "-rs"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert "there is no adapter to look at" in done.stdout
    assert "nothing is named" not in done.stdout
    assert load_file(copy / "model.safetensors").keys() == load_file(demo.folder("tuned") / "model.safetensors").keys()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--same-as", "demo:tuned"], "this is --model itself"),
        (["--trainer", "train:build", "--same-as", "demo:base"], "give it with --model"),
        (["--same-as", "nowhere/"], "there is no such folder"),
    ],
)
def test_same_as_is_checked_before_anything_runs(arguments, sentence):
    command = [sys.executable, "-m", "pytest", "suites/test_handover.py", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert sentence in done.stderr


def test_logits_leave_virtual_tokens_out():
    config = PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4)
    model = adapted(base(), config=config).eval()
    assert logits_of(model, [[5, 6, 7]])[0].shape[0] == 3
