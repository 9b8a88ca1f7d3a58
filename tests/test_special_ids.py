"""Tokenizer, config and generation config beside each other, and beside what was recorded of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from transformers import GenerationConfig, LlamaConfig

from harness.chat.probe import probe
from harness.inspection.checkpoint import Checkpoint, ids_fit_the_model
from harness.inspection.generation_settings import generation_settings, settings_are_the_recorded_ones
from harness.inspection.special_ids import special_ids, special_ids_agree
from harness.inspection.stopping import terminator_stops_generation
from harness.models.stated_ids import stop_ids_of
from harness.zoo.parts import CHATML, tokenizer_with

TOKENIZER = tokenizer_with(CHATML)
HABITS = probe(TOKENIZER)
END, EOS, BOS = HABITS.terminator_id, TOKENIZER.eos_token_id, TOKENIZER.bos_token_id


def saved(generation=None, recorded=None, **config):
    ids = {"bos_token_id": BOS, "eos_token_id": EOS, "pad_token_id": TOKENIZER.pad_token_id}
    return Checkpoint(
        TOKENIZER,
        HABITS,
        config=LlamaConfig(vocab_size=len(TOKENIZER), **(ids | config)),
        generation_config=GenerationConfig(**({"eos_token_id": [EOS, END]} if generation is None else generation)),
        vocab_rows=len(TOKENIZER),
        recorded=recorded or {},
    )


@pytest.mark.parametrize(
    ("generation", "config"),
    [
        ({"eos_token_id": [EOS, END]}, {}),
        ({"eos_token_id": END}, {}),
        ({"eos_token_id": END, "pad_token_id": EOS}, {"pad_token_id": EOS}),
        ({"eos_token_id": [END]}, {"bos_token_id": None, "pad_token_id": None}),
        ({"eos_token_id": [END]}, {"eos_token_id": [EOS, END]}),
        ({"eos_token_id": [END]}, {"bos_token_id": 1}),
    ],
    ids=["several", "one", "pad is eos", "no bos and no pad", "several in the config", "another bos"],
)
def test_usual_differences_between_the_files_are_fine(generation, config):
    assert special_ids_agree(saved(generation, **config)) == []


@pytest.mark.parametrize(
    ("generation", "config", "where"),
    [
        ({"eos_token_id": [END, 50256]}, {}, "eos_token_id in generation_config.json"),
        ({"eos_token_id": END, "pad_token_id": -1}, {}, "pad_token_id in generation_config.json"),
        ({"eos_token_id": END}, {"pad_token_id": 32000}, "pad_token_id in config.json"),
        ({}, {}, "eos_token_id in generation_config.json"),
    ],
    ids=["a stop id beyond the vocabulary", "a negative pad", "a pad beyond the vocabulary", "nothing to stop at"],
)
def test_an_id_that_is_no_token_and_a_missing_stop_id_are_found(generation, config, where):
    (finding,) = special_ids_agree(saved(generation, **config))
    assert finding.where == where


@pytest.mark.parametrize(
    ("stated", "what"),
    [
        ([END, None], "a stop id is null: the token is not in the vocabulary"),
        ("<|im_end|>", 'a stop id is not a number: "<|im_end|>"'),
        ([[EOS, END]], f"a stop id is not a number: [{EOS}, {END}]"),
        (True, "a stop id is not a number: true"),
    ],
    ids=str,
)
def test_what_is_no_id_is_found_and_read_as_none(stated, what):
    checkpoint = saved({"eos_token_id": stated})
    (finding,) = special_ids_agree(checkpoint)
    assert finding.what == what
    stops = stop_ids_of(checkpoint.generation_config, TOKENIZER)
    terminator_stops_generation(replace(checkpoint, stop_ids=stops))
    assert stops == ({END} if stated == [END, None] else set())


def test_the_id_of_a_token_that_is_named_by_its_text_is_in_the_remedy():
    (finding,) = special_ids_agree(saved({"eos_token_id": "<|im_end|>"}))
    assert f"write the token's id, {END}," in finding.remedy


def test_ids_in_an_array_are_ids():
    assert special_ids_agree(saved({"eos_token_id": torch.tensor([EOS, END])})) == []


def test_a_vocabulary_that_is_too_small_is_told_of_once():
    small = replace(saved({"eos_token_id": [EOS, END], "pad_token_id": EOS}), vocab_rows=min(EOS, END))
    assert special_ids_agree(small) == []
    (finding,) = ids_fit_the_model(small)
    assert f"resize_token_embeddings({max(map(int, finding.found.split(', '))) + 1})" in finding.remedy


def test_a_remedy_names_no_id_that_is_itself_out_of_range():
    small = replace(saved({"eos_token_id": [9999]}), vocab_rows=min(EOS, END))
    (finding,) = (found for found in special_ids_agree(small) if "9999" in found.found)
    assert "take 9999 out" in finding.remedy
    assert str(EOS) not in finding.expected.removeprefix(f"an id from 0 to {min(EOS, END) - 1}")


def test_a_stop_id_without_a_token_is_named_without_quotes():
    (finding,) = terminator_stops_generation(replace(saved(), stop_ids=frozenset({999999})))
    assert finding.found == "stops on id 999999"


def test_an_id_that_was_recorded_and_is_null_now_is_found_and_one_that_was_never_set_is_not():
    recorded = {"baseline main": {"special_ids": special_ids(saved())}, "an old baseline": {"template": "0123456789ab"}}
    assert special_ids_agree(saved(recorded=recorded)) == []
    (finding,) = special_ids_agree(saved(recorded=recorded, bos_token_id=None))
    assert (finding.where, finding.expected) == ("bos_token_id in config.json, against baseline main", str(BOS))
    unset = {"the base model": {"special_ids": special_ids(saved(bos_token_id=None))}}
    assert special_ids_agree(saved(recorded=unset)) == []


def pinned(now, **recorded):
    record = {"generation": generation_settings(GenerationConfig(**recorded))}
    return settings_are_the_recorded_ones(
        saved(now, {"baseline main": record, "an old baseline": {"template": "0123456789ab"}})
    )


def test_a_lost_stop_id_is_named():
    (finding,) = pinned({"eos_token_id": EOS}, eos_token_id=[EOS, END])
    assert "no longer stops" in finding.what
    assert "<|im_end|>" in finding.expected
    assert "<|im_end|>" not in finding.found


@pytest.mark.parametrize(
    "changed",
    [
        {"do_sample": True, "temperature": 1.5},
        {"repetition_penalty": 1.3},
        {"min_new_tokens": 10},
        {"suppress_tokens": [5]},
        {"sequence_bias": {(5, 6): -2.0}},
        {"max_length": 64},
        {"stop_strings": ["User:"]},
    ],
    ids=str,
)
def test_a_setting_that_changes_answers_is_found_whether_it_came_or_went(changed):
    stops = {"eos_token_id": [EOS, END]}
    assert {finding.where.split(",")[0] for finding in pinned(stops | changed, **stops)} == {
        f"generation_config.{key}" for key in changed
    }
    assert len(pinned(stops, **(stops | changed))) == len(changed)


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"eos_token_id": [END, EOS]},
        {"eos_token_id": [EOS, END, 3]},
        {"pad_token_id": EOS, "bos_token_id": BOS},
        {"do_sample": False, "temperature": 1.0, "min_length": 0, "top_k": 50},
        {"use_cache": False, "output_scores": True, "prompt_lookup_num_tokens": 3},
        {"suppress_tokens": []},
    ],
    ids=["the same", "another order", "one more", "pad and bos", "defaults spelled out", "no other answers", "empty"],
)
def test_what_changes_no_answer_is_fine(changed):
    stops = {"eos_token_id": [EOS, END]}
    assert pinned(stops | changed, **stops) == []
