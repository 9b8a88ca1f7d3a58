"""Where a prompt ends and a choice begins: what is scored is the choice, with every kind of tokenizer."""

from dataclasses import replace
from itertools import product

import pytest
import torch
from tokenizers import Tokenizer, decoders, models
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from fake_model import sample, sample_set
from harness.inspection.choices import choices_are_scored_whole, prompts_end_in_no_space
from harness.models.local import LocalModel
from harness.models.weights import InMemory
from harness.zoo.engines import demo_model
from tokenizer_kinds import TOKENIZERS

PROMPTS = [
    "",
    "Question: What is it?\nAnswer:",
    "f(x) =",
    "(",
    "法国的首都是",
    "A:\n",
    "2 + 2 is 4, and 3 +",
    "مرحبا",
    "»",
]
CHOICES = ["Paris", "the old gate", " spaced", "北京的大门", "7", "42.0", "é…", "🙂 yes", "(a) b", "سلام"]


@pytest.fixture(params=["demo", *TOKENIZERS])
def model(request):
    demo = replace(demo_model("base"))
    return demo if request.param == "demo" else replace(demo, tokenizer=TOKENIZERS[request.param]())


def asked(*prompts, choices=("one", "two"), target=0):
    return sample_set(*(sample(prompt, choices=choices, target=target) for prompt in prompts))


def test_every_tokenizer_scores_every_choice_whole(model):
    questions = sample_set(
        *(
            sample(prompt, choices=pair, target=0, sample_id=f"{n}")
            for n, (prompt, pair) in enumerate(product(PROMPTS, pairs()))
        )
    )
    assert choices_are_scored_whole(model, questions) == []


def pairs():
    return list(zip(CHOICES[::2], CHOICES[1::2], strict=True))


def a_model_that_joins(*joined):
    """Every character is a token, and so are these pairs; all tokens are equally likely."""
    characters = sorted({*"".join(joined), *"ParisRome!AQ: "})
    vocabulary = {text: place for place, text in enumerate([*characters, *joined, "<end>"])}
    bare = Tokenizer(models.BPE(vocabulary, [(pair[0], pair[1]) for pair in joined]))
    bare.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bare, eos_token="<end>", pad_token="<end>")
    tokenizer.chat_template = "{{ messages[-1]['content'] }} A:"
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    module = LlamaForCausalLM(LlamaConfig(vocab_size=len(vocabulary), max_position_embeddings=64, **sizes)).eval()
    torch.nn.init.zeros_(module.lm_head.weight)
    return LocalModel("joins", InMemory(module), tokenizer, frozenset(), demo_model("base").budget)


def test_a_choice_that_wins_by_a_token_shared_with_the_prompt_is_found():
    model = a_model_that_joins(":P")
    (finding,) = choices_are_scored_whole(model, asked("Q", choices=("Rome!", "Paris")), chat=True)
    assert finding.expected.startswith("'Rome!' to win")
    assert finding.found == "'Paris', of which 'a' 'r' 'i' 's' is scored"


def test_a_shared_token_that_changes_no_winner_is_none():
    assert choices_are_scored_whole(a_model_that_joins(":P"), asked("Q", choices=("Paris", "Rome!")), chat=True) == []


def test_a_prompt_that_ends_with_a_space_is_found(model):
    findings = prompts_end_in_no_space(model, asked("The capital is ", "The capital is", "Answer:\t"))
    assert [finding.where.split(": ...")[0] for finding in findings] == [
        "set, sample The capital is ",
        "set, sample Answer:\t",
    ]


@pytest.mark.parametrize("prompt", ["", " ", "Answer:", "答案：", "A:\n", "x\u3000"])
def test_other_ends_of_prompts_are_none(model, prompt):
    assert (
        prompts_end_in_no_space(model, sample_set(sample(prompt, choices=("a", "b"), target=0, sample_id="one"))) == []
    )
