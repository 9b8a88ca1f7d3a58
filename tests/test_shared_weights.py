"""An adapter and its base over one set of tensors answer as two copies would, in whatever order they are asked."""

from __future__ import annotations

import threading
import warnings
from dataclasses import replace

import pytest
import torch
from peft import PEFT_TYPE_TO_CONFIG_MAPPING, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from harness.engine.sampling import Sampling
from harness.models import load as loading
from harness.models.fetch import Access
from harness.models.load import LoadOptions, load
from harness.models.resident import Residents
from harness.models.twin import NoTwinError, fingerprint, says, twin_of
from harness.references import parse_reference
from tiny_checkpoint import write_tiny_checkpoint

ADAPTERS = {
    "lora": ("LORA", {"target_modules": ["q_proj", "down_proj"]}),
    "dora": ("LORA", {"target_modules": ["q_proj", "down_proj"], "use_dora": True}),
    "head trained whole": ("LORA", {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]}),
    "embedding trained whole": ("LORA", {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens"]}),
    "rows of the embedding": ("LORA", {"target_modules": ["q_proj"], "trainable_token_indices": [1, 5]}),
    "lora on the embedding": ("LORA", {"target_modules": ["q_proj", "embed_tokens"]}),
    "taken out of the base": ("LORA", {"target_modules": ["q_proj"], "init_lora_weights": "pissa"}),
    "scaled activations": (
        "IA3",
        {"target_modules": ["k_proj", "v_proj", "down_proj"], "feedforward_modules": ["down_proj"]},
    ),
    "prefix": ("PREFIX_TUNING", {"num_virtual_tokens": 3}),
    "prompt": ("PROMPT_TUNING", {"num_virtual_tokens": 3}),
}

PAIRS = [("a b", " c d e"), ("one two three", " four"), ("", "x y z")]
PROMPTS = ["a b", "one two three four", "x"]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return write_tiny_checkpoint(tmp_path_factory.mktemp("tiny") / "base")


def write_adapter(base, folder, kind="LORA", rows=None, **settings):
    torch.manual_seed(1)
    module = AutoModelForCausalLM.from_pretrained(base)
    if rows:
        module.resize_token_embeddings(rows, mean_resizing=False)
    module = get_peft_model(module, PEFT_TYPE_TO_CONFIG_MAPPING[kind](task_type="CAUSAL_LM", **settings))
    with torch.no_grad():
        for weight in module.parameters():
            if weight.requires_grad:
                weight.add_(torch.randn_like(weight) * 0.3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft tells which embeddings it saves
        module.save_pretrained(folder)
    AutoTokenizer.from_pretrained(base).save_pretrained(folder)
    return folder


def pair(adapter, base, told=None, **options):
    """The adapter's model and its base, of the same residents."""
    residents = None if told is None else Residents(tell=told.append)
    loads = LoadOptions(Access(base.parent / "cache", offline=True), residents=residents, **options)
    ref = parse_reference(str(base))
    return load(parse_reference(str(adapter)), replace(loads, base=ref)), load(ref, loads)


def sampled(model):
    """Batches of sampled answers, one prompt at a time."""
    prompts = dict(zip("abc", PROMPTS, strict=True))
    single = replace(model, budget=replace(model.budget, rows=1))
    return single.sample(prompts, Sampling(max_new_tokens=6, temperature=1.0, seed=3), copies=1)


def everything(model):
    model = model.afresh()
    return (
        [reply.total for reply in model.loglikelihood(PAIRS)],
        [answer.ids for answer in model.generate(PROMPTS, max_new_tokens=8)],
        model.token_losses([" ".join(PROMPTS)]),
    )


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", ADAPTERS)
def test_both_answer_as_two_copies_do_to_the_bit(kind, dtype, base, tmp_path):
    peft_type, settings = ADAPTERS[kind]
    adapter = write_adapter(base, tmp_path / "adapter", peft_type, **settings)
    told: list[str] = []
    tuned, untouched = pair(adapter, base, told, dtype=dtype)
    alone, base_alone = pair(adapter, base, dtype=dtype)
    assert everything(tuned) == everything(alone)
    assert everything(untouched) == everything(base_alone)
    assert everything(tuned) == everything(alone)
    assert everything(tuned)[0] != everything(untouched)[0]
    assert torch.equal(untouched.weights.before, says(base_alone.module))
    assert torch.equal(says(untouched.module), says(base_alone.module))
    assert told == []


def test_it_is_one_set_of_weights(base, tmp_path):
    tuned, untouched = pair(write_adapter(base, tmp_path / "adapter", target_modules=["q_proj"]), base, [])
    places = {weight.data_ptr() for weight in untouched.module.parameters()}
    own = [name for name, weight in tuned.module.named_parameters() if weight.data_ptr() not in places]
    assert own
    assert all("lora_" in name for name in own)


def test_generators_of_both_may_run_in_turns(base, tmp_path):
    adapter = write_adapter(base, tmp_path / "adapter", target_modules=["q_proj", "v_proj"])
    tuned, untouched = pair(adapter, base, [])
    alone, base_alone = pair(adapter, base)
    batches = zip(sampled(tuned), sampled(untouched), strict=True)
    assert list(batches) == list(zip(sampled(alone), sampled(base_alone), strict=True))


def test_a_break_in_the_middle_leaves_both_as_they_were(base, tmp_path, monkeypatch):
    adapter = write_adapter(base, tmp_path / "adapter", target_modules=["q_proj", "v_proj"])
    tuned, untouched = pair(adapter, base, [])
    expected = [everything(model) for model in (tuned, untouched)]
    for model in (tuned, untouched):
        layer = (model.module.get_base_model() if model is tuned else model.module).model.layers[0].mlp
        with monkeypatch.context() as broken:
            broken.setattr(layer, "forward", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                replace(model).generate(["another"], max_new_tokens=2)
    assert [everything(model) for model in (tuned, untouched)] == expected


def biased(base, folder):
    """The base with biases, which peft trains in place: its switch does not bring the old ones back."""
    model = AutoModelForCausalLM.from_pretrained(base)
    model.config.attention_bias = True
    other = type(model)(model.config)
    other.load_state_dict(model.state_dict(), strict=False)
    other.save_pretrained(folder)
    AutoTokenizer.from_pretrained(base).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("settings", [{"bias": "all"}, {"init_lora_weights": "olora"}], ids=str)
def test_an_adapter_that_writes_into_the_base_gets_weights_of_its_own(settings, base, tmp_path):
    base = biased(base, tmp_path / "base")
    adapter = write_adapter(base, tmp_path / "adapter", target_modules=["q_proj"], **settings)
    told: list[str] = []
    tuned, untouched = pair(adapter, base, told)
    alone, base_alone = pair(adapter, base)
    for _ in range(2):
        assert everything(tuned) == everything(alone)
        assert everything(untouched) == everything(base_alone)
    (note,) = told
    assert "in memory twice: putting the adapter on changes weights of the base model" in note
    assert untouched.weights.before is None


def test_an_adapter_with_more_tokens_leaves_the_base_its_own_rows(base, tmp_path):
    rows = AutoModelForCausalLM.from_pretrained(base).get_input_embeddings().weight.shape[0] + 8
    adapter = write_adapter(base, tmp_path / "adapter", rows=rows, target_modules=["q_proj"])
    told: list[str] = []
    tuned, untouched = pair(adapter, base, told)
    assert everything(tuned) == everything(pair(adapter, base)[0])
    assert tuned.module.get_input_embeddings().weight.shape[0] == rows
    assert untouched.module.get_input_embeddings().weight.shape[0] == rows - 8
    assert everything(untouched) == everything(pair(adapter, base)[1])
    assert told == []


def test_another_base_or_another_dtype_is_another_model(base, tmp_path):
    other = write_tiny_checkpoint(tmp_path / "other")
    adapter = write_adapter(base, tmp_path / "adapter", target_modules=["q_proj"])
    residents = Residents()
    loads = LoadOptions(Access(tmp_path / "cache", offline=True), residents=residents)
    half = load(parse_reference(str(base)), replace(loads, dtype="bfloat16"))
    full = load(parse_reference(str(adapter)), replace(loads, base=parse_reference(str(base))))
    assert half.module.dtype is torch.bfloat16
    assert full.module.dtype is torch.float32
    same = load(parse_reference(str(other)), loads)
    assert (same.module is load(parse_reference(str(base)), loads).module) == (same.digests == half.digests)


def test_weights_that_cannot_be_had_twice_are_read_twice(base, tmp_path, monkeypatch):
    adapter = write_adapter(base, tmp_path / "adapter", target_modules=["q_proj"])
    read = loading._module

    def locked(*asked):
        module = read(*asked)
        module.lock = threading.Lock()
        return module

    monkeypatch.setattr(loading, "_module", locked)
    told: list[str] = []
    tuned, untouched = pair(adapter, base, told)
    assert everything(tuned) != everything(untouched)
    assert everything(untouched) == everything(pair(adapter, base)[1])
    (note,) = told
    assert "its modules cannot be copied" in note


def test_a_special_kind_of_tensor_has_no_twin(base):
    class Packed(torch.nn.Parameter):
        pass

    module = AutoModelForCausalLM.from_pretrained(base)
    module.lm_head.weight = Packed(module.lm_head.weight.data)
    with pytest.raises(NoTwinError, match="of the special kind Packed"):
        twin_of(module)


def test_one_changed_bit_changes_the_fingerprint(base):
    module = AutoModelForCausalLM.from_pretrained(base)
    before = fingerprint(module)
    assert fingerprint(twin_of(module)) == before
    weight = module.model.layers[1].mlp.up_proj.weight.data.view(torch.int32)
    weight[3, 4] ^= 1
    assert sum(one != other for one, other in zip(before, fingerprint(module), strict=True)) == 1
