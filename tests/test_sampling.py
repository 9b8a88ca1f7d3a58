"""Sampled answers: drawn from the model's own distribution, each by its own random numbers, whatever the batch."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from scipy.stats import chisquare

from harness.engine.sampling import Sampling, drawn
from harness.errors import DataError, UsageError
from harness.models.fetch import Access
from harness.models.load import LoadOptions, load
from harness.models.local import LocalModel
from harness.references import parse_reference
from tiny_checkpoint import write_tiny_checkpoint

PROMPTS = {
    name: ({"role": "user", "content": text},)
    for name, text in {
        "sea": "The sea is wide.",
        "short": "a",
        "number": "One two three four, and so on to ten.",
    }.items()
}
SAMPLING = Sampling(temperature=1.0, top_p=0.9, max_new_tokens=12)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_tiny_checkpoint(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def model(folder) -> LocalModel:
    return loaded(folder)


def loaded(folder, **options: object) -> LocalModel:
    return load(parse_reference(str(folder)), LoadOptions(Access(folder.parent / "cache", offline=True), **options))


def sampled(model: LocalModel, prompts=PROMPTS, sampling=SAMPLING, copies=3, done=()):
    answers = {}
    for batch in model.sample(prompts, sampling, copies, done):
        answers |= batch
    return answers


def test_neither_batches_nor_the_prompts_beside_it_decide_an_answer(folder, model):
    together = sampled(model)
    assert sampled(loaded(folder, batch_size=1)) == together == sampled(loaded(folder, batch_size=64))
    assert sampled(model, {"sea": PROMPTS["sea"]}) == {"sea": together["sea"]}


def test_what_was_interrupted_goes_on_to_the_same_answers(model):
    together = sampled(model)
    rest = sampled(model, done={"short"})
    assert rest == {name: together[name] for name in ("sea", "number")}


def test_more_answers_begin_with_the_fewer(model):
    fewer, more = sampled(model, copies=2), sampled(model, copies=5)
    assert {name: answers[:2] for name, answers in more.items()} == fewer


def test_the_seed_decides_and_the_answers_to_one_prompt_differ(model):
    answers = sampled(model)
    assert sampled(model) == answers
    assert sampled(model, sampling=Sampling(1.0, 0.9, 12, seed=1)) != answers
    assert len({answer.ids for answer in answers["sea"]}) > 1


def test_near_zero_temperature_is_greedy_and_stops_where_greedy_decoding_stops(model):
    greedy = model.generate(list(PROMPTS.values()), max_new_tokens=12)
    cold = sampled(model, sampling=Sampling(1e-6, 1.0, 12), copies=2)
    assert cold == {name: [answer, answer] for name, answer in zip(PROMPTS, greedy, strict=True)}


def test_answers_end_with_a_stop_id(model):
    wanted = sampled(model)["sea"][0].ids[4]
    before, model.stop_ids = model.stop_ids, frozenset({wanted})
    try:
        answer = sampled(model)["sea"][0]
    finally:
        model.stop_ids = before
    assert answer.finish == "terminator"
    assert answer.ids.index(wanted) == len(answer.ids) - 1


def test_tokens_come_as_often_as_their_probability_says():
    logits = torch.tensor([0.0, 1.0, 2.0, -30.0, 0.5])
    names = [str(number) for number in range(4000)]
    choose = drawn(names, Sampling(temperature=2.0, top_p=1.0, max_new_tokens=1))
    seen = Counter(choose(logits.expand(len(names), -1), range(len(names)), [0] * len(names)))
    expected = (logits.double() / 2).softmax(-1) * len(names)
    frequent = [token for token in range(5) if token != 3]
    assert seen[3] == 0
    counts = [seen[token] for token in frequent]
    assert chisquare(counts, expected[frequent] * sum(counts) / expected[frequent].sum()).pvalue > 1e-3


def test_the_tail_beyond_top_p_is_never_drawn():
    logits = torch.log(torch.tensor([0.05, 0.5, 0.4, 0.05]))
    names = [str(number) for number in range(2000)]
    choose = drawn(names, Sampling(temperature=1.0, top_p=0.85, max_new_tokens=1))
    assert set(choose(logits.expand(len(names), -1), range(len(names)), [0] * len(names))) == {1, 2}


@pytest.mark.parametrize("wrong", [{"temperature": 0.0}, {"top_p": 0.0}, {"top_p": 1.5}, {"max_new_tokens": 0}])
def test_values_that_no_distribution_has_are_refused(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        Sampling(**wrong)


def test_a_prompt_without_room_for_its_answer_is_named(model):
    with pytest.raises(DataError, match=r"prompt 2 of 2 has .* no room for 12 new ones"):
        sampled(model, {"sea": PROMPTS["sea"], "long": "word " * 400})
