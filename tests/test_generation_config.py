"""What a generation config may hold without keeping the model from ending, and what it may not."""

from __future__ import annotations

import pytest
from transformers import GenerationConfig

from harness.chat.probe import probe
from harness.inspection.checkpoint import Checkpoint
from harness.inspection.stopping import nothing_holds_the_terminator_back, terminator_stops_generation
from harness.zoo.parts import CHATML, tokenizer_with


@pytest.fixture(scope="module")
def habits():
    return probe(tokenizer_with(CHATML))


def settings(habits, **options):
    return Checkpoint(tokenizer_with(CHATML), habits, generation_config=GenerationConfig(**options))


@pytest.mark.parametrize("key", ["min_new_tokens", "min_length", "suppress_tokens", "bad_words_ids", "sequence_bias"])
def test_what_forbids_the_terminator_is_found(habits, key):
    end = habits.terminator_id
    value = {
        "min_new_tokens": 8,
        "min_length": 300,
        "suppress_tokens": [end],
        "bad_words_ids": [[end]],
        "sequence_bias": [[[end], -100.0]],
    }[key]
    (finding,) = nothing_holds_the_terminator_back(settings(habits, **{key: value}))
    assert finding.where == f"generation_config.{key}"


def test_a_forced_first_token_is_found(habits):
    assert nothing_holds_the_terminator_back(settings(habits, forced_bos_token_id=5))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"min_length": 0},
        {"do_sample": True, "temperature": 0.6, "top_p": 0.9},
        {"suppress_tokens": [3]},
        {"begin_suppress_tokens": [1]},
        {"repetition_penalty": 1.05},
    ],
    ids=str,
)
def test_a_usual_config_is_fine(habits, options):
    assert nothing_holds_the_terminator_back(settings(habits, **options)) == []


def test_a_stop_id_of_ordinary_text_is_found_and_several_control_tokens_are_fine(habits):
    tokenizer = tokenizer_with(CHATML)
    word = tokenizer("gate", add_special_tokens=False)["input_ids"][0]
    end, eos = habits.terminator_id, tokenizer.eos_token_id
    (finding,) = terminator_stops_generation(Checkpoint(tokenizer, habits, stop_ids={end, word}))
    assert "ordinary text" in finding.what
    assert terminator_stops_generation(Checkpoint(tokenizer, habits, stop_ids={end, eos})) == []
