"""Adapters with virtual tokens: an answer does not depend on the batch, and is what the adapter gives a text alone."""

import pytest
import torch
from peft import get_peft_model
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from transformers import AutoModelForCausalLM, AutoTokenizer

from harness.engine.sampling import Sampling
from harness.engine.tokens import Scored
from harness.engine.virtual_tokens import opened, virtual_tokens
from harness.errors import ModelError
from harness.models.fetch import Access
from harness.models.load import LoadOptions, load
from harness.references import parse_reference
from tiny_checkpoint import write_tiny_checkpoint

TEXTS = ["hello there my friend", "hi", "a longer text that goes on and on", "what"]
NEW = 6

ADAPTERS = {
    "prefix": ("PREFIX_TUNING", {"num_virtual_tokens": 5}),
    "prefix from a network": (
        "PREFIX_TUNING",
        {"num_virtual_tokens": 5, "prefix_projection": True, "encoder_hidden_size": 16},
    ),
    "prompt": ("PROMPT_TUNING", {"num_virtual_tokens": 5}),
    "prompt from a network": ("P_TUNING", {"num_virtual_tokens": 5, "encoder_hidden_size": 16}),
    "cache": ("CARTRIDGE", {"num_virtual_tokens": 5}),
    "parallel network": ("SHADOW", {"r": 4, "shadow_dropout": 0.0, "auxiliary_loss_weight": 0.0}),
    "scaled activations": (
        "IA3",
        {"target_modules": ["k_proj", "v_proj", "down_proj"], "feedforward_modules": ["down_proj"]},
    ),
}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return write_tiny_checkpoint(tmp_path_factory.mktemp("tiny") / "base")


@pytest.fixture(params=ADAPTERS)
def adapted(request, base, tmp_path):
    """The adapter as it was trained, and as it is loaded from its folder."""
    kind, settings = ADAPTERS[request.param]
    torch.manual_seed(1)
    module = AutoModelForCausalLM.from_pretrained(base)
    config = PEFT_TYPE_TO_CONFIG_MAPPING[kind](task_type="CAUSAL_LM", **settings)
    module = get_peft_model(module, config).eval()
    with torch.no_grad():
        for weight in module.parameters():
            if weight.requires_grad:
                weight.add_(torch.randn_like(weight) * 0.3)
    module.save_pretrained(tmp_path / "adapter")
    AutoTokenizer.from_pretrained(base).save_pretrained(tmp_path / "adapter")
    options = LoadOptions(Access(tmp_path / "cache"), base=parse_reference(str(base)))
    return module, load(parse_reference(str(tmp_path / "adapter")), options)


@torch.no_grad()
def alone(module, ids):
    """The logits of one text, without batch, padding or cache."""
    inputs = torch.tensor([ids])
    return module(input_ids=inputs, attention_mask=torch.ones_like(inputs), use_cache=False).logits[0, -len(ids) :]


def greedy_alone(module, ids, stops):
    answer = []
    while len(answer) < NEW and not stops & set(answer):
        answer.append(int(alone(module, ids + answer)[-1].argmax()))
    return tuple(answer)


def test_a_batch_of_answers_is_what_each_prompt_gets_alone(adapted):
    trained, loaded = adapted
    prompts = [loaded.tokenizer.encode(text) for text in TEXTS]
    given = [answer.ids for answer in loaded.generate(TEXTS, max_new_tokens=NEW)]
    assert given == [greedy_alone(trained, ids, loaded.stop_ids) for ids in prompts]


def test_several_answers_to_a_prompt_go_on_from_the_prompt_read_once(adapted):
    trained, loaded = adapted
    cold = Sampling(temperature=1e-6, top_p=1.0, max_new_tokens=NEW)
    given = {
        name: answers
        for batch in loaded.sample({text: text for text in TEXTS}, cold, 2)
        for name, answers in batch.items()
    }
    for text in TEXTS:
        wanted = greedy_alone(trained, loaded.tokenizer.encode(text), loaded.stop_ids)
        assert [answer.ids for answer in given[text]] == [wanted, wanted]


def test_a_batch_of_scores_is_what_each_text_gets_alone(adapted):
    trained, loaded = adapted
    rows = [Scored(tuple(ids), len(ids) - 1) for ids in map(loaded.tokenizer.encode, TEXTS)]
    scored = loaded.score(rows)
    for row, found in zip(rows, scored, strict=True):
        expected = alone(trained, list(row.ids))[:-1].log_softmax(-1).gather(1, torch.tensor(row.ids[1:])[:, None])
        assert sum(value for value, _ in found) == pytest.approx(float(expected.sum()), abs=1e-4)


def test_the_adapter_is_asked_and_not_its_base(adapted, base):
    trained, _ = adapted
    ids = list(range(10, 20))
    assert (alone(trained, ids) - alone(AutoModelForCausalLM.from_pretrained(base), ids)).abs().max() > 1e-3


def test_virtual_tokens_take_up_positions(adapted):
    trained, loaded = adapted
    assert loaded.longest == 256 - virtual_tokens(trained)


def test_virtual_tokens_that_need_a_task_are_refused(base):
    config = PEFT_TYPE_TO_CONFIG_MAPPING["MULTITASK_PROMPT_TUNING"](task_type="CAUSAL_LM", num_virtual_tokens=3)
    module = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    with pytest.raises(ModelError, match="adapters with several tasks are not supported"):
        opened(module, 2)
