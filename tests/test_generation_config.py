"""What a generation config may hold without keeping the model from ending, and what it may not."""

from __future__ import annotations

import pytest
from transformers import AddedToken, GenerationConfig

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
    ("options", "key"),
    [
        ({"max_new_tokens": 1}, "max_new_tokens"),
        ({"max_length": 5, "forced_eos_token_id": 2}, "max_length"),
        ({"stop_strings": "\n"}, "stop_strings"),
        ({"stop_strings": ["User:", " "]}, "stop_strings"),
    ],
    ids=str,
)
def test_what_cuts_answers_short_is_found(habits, options, key):
    (finding,) = nothing_holds_the_terminator_back(settings(habits, **options))
    assert finding.where == f"generation_config.{key}"
    assert ("forced_eos_token_id" in finding.found) == ("forced_eos_token_id" in options)


def test_a_line_break_may_end_the_answers_of_a_template_that_ends_them_so():
    tokenizer = tokenizer_with(
        "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}"
    )
    plain = Checkpoint(tokenizer, probe(tokenizer), generation_config=GenerationConfig(stop_strings=["\n"]))
    assert plain.habits.terminator_id is None
    assert nothing_holds_the_terminator_back(plain) == []


@pytest.mark.parametrize("special", [True, False])
def test_a_terminator_that_stays_in_the_text_of_answers_is_found(special):
    tokenizer = tokenizer_with(CHATML, special=("<|im_start|>",))
    tokenizer.add_tokens([AddedToken("<|im_end|>", special=special, normalized=False)], special_tokens=special)
    stops = frozenset({tokenizer.convert_tokens_to_ids("<|im_end|>")})
    findings = terminator_stops_generation(Checkpoint(tokenizer, probe(tokenizer), stop_ids=stops))
    assert [finding.what for finding in findings] == (
        [] if special else ["the token that ends a turn stays in the text of the answer"]
    )


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"min_length": 0},
        {"do_sample": True, "temperature": 0.6, "top_p": 0.9},
        {"suppress_tokens": [3]},
        {"begin_suppress_tokens": [1]},
        {"repetition_penalty": 1.05},
        {"max_length": 20},
        {"max_length": 4096, "forced_eos_token_id": 2},
        {"max_new_tokens": 512, "temperature": 0.6, "top_p": 0.9, "do_sample": True},
        {"max_new_tokens": 512, "max_length": 4},
        {"stop_strings": ["<|im_end|>", "\nUser:"]},
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
