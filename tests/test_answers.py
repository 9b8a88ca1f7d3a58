"""Answers token by token: text, end, batch and vocabulary, of the demo model and of engines with one thing wrong."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from fake_model import FakeModel, completion, sample, sample_set
from harness.inspection import answers
from harness.models.fetch import Access
from harness.models.load import LoadOptions, load
from harness.models.local import LocalModel
from harness.models.weights import InMemory
from harness.references import parse_reference

SAMPLES = sample_set(
    *map(
        sample,
        ["Hi!", "What is the capital of France?", "Name a colour, please.", "今天天气好吗？", "Who are you? " * 4],
    )
)
CHECKS = [
    answers.answers_are_what_their_ids_say,
    answers.answers_do_not_depend_on_their_batch,
    answers.answers_stay_in_the_vocabulary,
    answers.answers_leak_no_control_text,
    answers.most_answers_end,
]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    access = Access(tmp_path_factory.mktemp("cache"), offline=True)
    return load(parse_reference("demo:tuned"), LoadOptions(access))


def engine(loaded, kind=LocalModel, **changes):
    """A fresh engine over the same weights, that has answered nothing yet."""
    parts = {"name": "x", "weights": loaded.weights, "tokenizer": loaded.tokenizer}
    return kind(**(parts | {"stop_ids": loaded.stop_ids, "budget": loaded.budget} | changes))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_sound_model_passes(check, loaded):
    assert check(engine(loaded), SAMPLES) == []


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_model_of_three_methods_passes(check):
    assert check(FakeModel({each.id: "yes" for each in SAMPLES}), SAMPLES) == []


def test_an_engine_that_knows_one_of_two_stop_ids_is_found(loaded):
    end = loaded.tokenizer.convert_tokens_to_ids("<|im_end|>")
    deaf = engine(loaded, stop_ids=frozenset(loaded.stop_ids - {end}))
    findings = answers.answers_are_what_their_ids_say(deaf, SAMPLES)
    assert {finding.what for finding in findings} == {"an answer goes on behind a stop id"}
    assert "<|im_end|>" in findings[0].expected


class Miscounting(LocalModel):
    def _completion(self, ids):
        return replace(super()._completion(ids), finish="length")


class ByToken(LocalModel):
    def _completion(self, ids):
        text = "".join(self.tokenizer.decode([i], skip_special_tokens=True) for i in ids)
        return replace(super()._completion(ids), text=text)


class Chinese(ByToken):
    def _generate(self, prompts, max_new_tokens, stop):
        ids = self.tokenizer.encode("饕餮", add_special_tokens=False)
        return enumerate(self._completion([*ids, *sorted(self.stop_ids)[:1]]) for _ in prompts)


def test_a_finish_that_is_not_what_the_ids_say_is_found(loaded):
    findings = answers.answers_are_what_their_ids_say(engine(loaded, Miscounting), SAMPLES)
    assert len(findings) == len(SAMPLES)
    assert findings[0].what == "a finished answer counts as cut"


def test_a_text_that_was_decoded_token_by_token_is_found(loaded):
    (finding, *_) = answers.answers_are_what_their_ids_say(engine(loaded, Chinese), SAMPLES)
    assert "饕餮" in finding.expected
    assert "bytes that are no character" in finding.found


class PaddedOnTheRight(LocalModel):
    """New tokens follow the padding, and the padding is seen."""

    def _generate(self, prompts, max_new_tokens, stop):
        encoded = [self.prompt_ids(prompt) for prompt in prompts]
        width = max(map(len, encoded))
        padded = [[*ids, *[self.pad_id] * (width - len(ids))] for ids in encoded]
        rows = torch.tensor(padded)
        for _ in range(max_new_tokens):
            with torch.no_grad():
                newest = self.module(input_ids=rows).logits[:, -1].argmax(-1)
            rows = torch.cat([rows, newest[:, None]], dim=1)
        return enumerate(map(self._completion, rows[:, width:].tolist()))


def test_padding_that_changes_answers_is_found(loaded):
    findings = answers.answers_do_not_depend_on_their_batch(engine(loaded, PaddedOnTheRight), SAMPLES)
    assert findings
    assert "in a batch of" in findings[0].found


class Flipping(LocalModel):
    """Answers what it is asked at first with its second choice, and from then on with its first."""

    asked = False

    def _generate(self, prompts, max_new_tokens, stop):
        choice, self.asked = (self.first if self.asked else self.second), True
        return enumerate(self._completion([choice]) for _ in prompts)


def test_a_near_tie_may_flip_and_a_clear_lead_may_not(loaded):
    module = copy.deepcopy(loaded.module)
    prompt = SAMPLES.samples[0].messages
    flipping = engine(loaded, Flipping, weights=InMemory(module))
    logits = answers._next_logits(flipping, prompt, ())
    flipping.first, flipping.second = logits.topk(2).indices.tolist()
    few = sample_set(SAMPLES.samples[0])
    assert answers.answers_do_not_depend_on_their_batch(flipping, few)
    with torch.no_grad():
        module.get_output_embeddings().weight[flipping.second] = module.get_output_embeddings().weight[flipping.first]
    assert answers.answers_do_not_depend_on_their_batch(flipping, few) == []


def test_rows_without_a_token_must_not_be_likely(loaded):
    padded = copy.deepcopy(loaded.module)
    padded.resize_token_embeddings(len(loaded.tokenizer) + 16)
    with torch.no_grad():
        padded.get_output_embeddings().weight[len(loaded.tokenizer) :] = 0
    hidden = engine(loaded, weights=InMemory(padded))
    before = answers.answers_stay_in_the_vocabulary(hidden, SAMPLES)
    with torch.no_grad():
        padded.get_output_embeddings().weight[len(loaded.tokenizer) :] = 10 * padded.get_output_embeddings().weight[5]
    (finding, *_) = answers.answers_stay_in_the_vocabulary(engine(loaded, weights=InMemory(padded)), SAMPLES)
    assert "no token for" in finding.what
    assert before == []


def test_an_id_beyond_the_vocabulary_is_found_in_the_answer(loaded):
    class Beyond(LocalModel):
        def _generate(self, prompts, max_new_tokens, stop):
            return enumerate(replace(self._completion([5]), ids=(5, 10**6)) for _ in prompts)

    findings = answers.answers_stay_in_the_vocabulary(engine(loaded, Beyond), SAMPLES)
    assert findings[0].found == "id 1000000"


def test_an_answer_that_never_ends_and_one_with_control_text_are_found():
    endless = FakeModel({each.id: completion("on and on", stopped=False) for each in SAMPLES})
    assert answers.most_answers_end(endless, SAMPLES)
