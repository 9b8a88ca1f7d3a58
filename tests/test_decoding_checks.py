"""What the engine must not let show in its numbers: chance, the cache, the batch, and another model's replies."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import pytest
import torch

from fake_model import FakeModel, sample, sample_set
from harness.inspection import decoding
from harness.metrics.sameness import LEAST_ANSWERS, same_likelihoods
from harness.models.fetch import Access
from harness.models.load import LoadOptions, load
from harness.models.weights import InMemory
from harness.references import parse_reference
from harness.zoo.eval_engines import PaddedOnTheLeft, PaddingIsRead

SAMPLES = sample_set(
    *map(sample, ["Hi!", "What is the capital of France?", "Name a colour, please.", "今天天气好吗？", "Who? " * 9])
)
CHECKS = [
    decoding.answers_are_the_same_when_asked_again,
    decoding.answers_do_not_depend_on_the_cache,
    decoding.likelihoods_do_not_depend_on_their_batch,
]


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    return load(parse_reference("demo:tuned"), LoadOptions(Access(tmp_path_factory.mktemp("cache"), offline=True)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_sound_engine_passes_in_every_precision(check, dtype, tuned):
    model = replace(tuned, weights=InMemory(copy.deepcopy(tuned.module).to(dtype)))
    assert check(model, SAMPLES) == []


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_model_of_three_methods_is_not_doubted(check):
    assert check(FakeModel({each.id: "yes" for each in SAMPLES}), SAMPLES) == []


def test_a_cache_that_forgets_is_found(tuned):
    """The config states a window that the model does not have, and transformers' cache believes it."""
    module = copy.deepcopy(tuned.module)
    module.config.sliding_window = 12
    (finding,) = decoding.answers_do_not_depend_on_the_cache(replace(tuned, weights=InMemory(module)), SAMPLES)
    assert finding.what == "the next token depends on the cache"
    assert "nats" in finding.found


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_padding_that_is_read_is_found_in_likelihoods(dtype, tuned):
    module = copy.deepcopy(tuned.module).to(dtype)
    parts = {"name": "x", "weights": InMemory(module), "tokenizer": tuned.tokenizer, "stop_ids": tuned.stop_ids}
    found = decoding.likelihoods_do_not_depend_on_their_batch(PaddingIsRead(**parts, budget=tuned.budget), SAMPLES)
    assert found
    assert "as when it is asked alone" in found[0].expected
    masked = PaddedOnTheLeft(**parts, budget=tuned.budget)
    assert decoding.likelihoods_do_not_depend_on_their_batch(masked, SAMPLES) == []


def test_a_likelihood_that_is_no_number_does_not_pass(tuned):
    broken = replace(tuned)
    broken.loglikelihood = lambda pairs: [
        replace(reply, total=float("nan") if len(pairs) > 1 else reply.total) for reply in tuned.loglikelihood(pairs)
    ]
    assert decoding.likelihoods_do_not_depend_on_their_batch(broken, SAMPLES)


QUESTIONS = sample_set(*(sample(f"question {number}", choices=["a", "b"], target=0) for number in range(LEAST_ANSWERS)))


@dataclass
class Weighed(FakeModel):
    """Its likelihoods depend on the weights by ``moved``, and in a chat by ``moved_in_a_chat``."""

    digests: dict[str, str] | None = None
    moved: float = 0.0
    moved_in_a_chat: float = 0.0

    def __post_init__(self):
        self.likelihood = lambda context, text: (
            -float(len(text) + len(context)) - (self.moved if isinstance(context, str) else self.moved_in_a_chat)
        )


BASE = Weighed(digests={"weights": "base"})


def test_equality_to_the_last_bit_between_other_weights_is_found():
    (finding,) = same_likelihoods(Weighed(digests={"weights": "tuned"}), BASE, QUESTIONS)
    assert finding.where == "all 16 choices of set"
    assert same_likelihoods(Weighed(digests={"weights": "base", "adapter": "a"}), BASE, QUESTIONS, chat=True)


@pytest.mark.parametrize(
    ("other", "asked"),
    [
        (Weighed(digests={"weights": "base", "template": "another"}), QUESTIONS),
        (Weighed(digests={"weights": "tuned"}, moved=2**-40), QUESTIONS),
        (Weighed(digests={"weights": "tuned"}, moved_in_a_chat=2**-40), QUESTIONS),
        (Weighed(digests={"weights": "tuned"}), replace(QUESTIONS, samples=QUESTIONS.samples[1:])),
    ],
    ids=["the same weights", "one bit", "tokens of the chat alone", "few questions"],
)
def test_what_is_no_wonder_is_not_told(other, asked):
    assert same_likelihoods(other, BASE, asked) == []


def test_an_engine_that_names_no_weights_is_not_doubted():
    assert same_likelihoods(Weighed(digests={}), Weighed(digests={}), QUESTIONS) == []
