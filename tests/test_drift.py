"""A template beside the records of itself: what it writes and takes is compared, token by token."""

from __future__ import annotations

import json

import pytest
from transformers import AutoTokenizer

from harness.chat.probe import probe
from harness.chat.record import BETWEEN, chat_record, template_record, what_changed
from harness.chat.template import prepare
from harness.inspection.checkpoint import Checkpoint
from harness.inspection.drift import template_is_the_recorded_one
from harness.plugin.state import Records
from harness.zoo.parts import CHATML, MARKED, WITH_BOS, tokenizer_with

DEFAULT_SYSTEM = (
    "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nBe kind.<|im_end|>\n' }}{% endif %}" + CHATML
)
THINKING = CHATML.replace(
    "assistant\n' }}{% endif",
    "assistant\n' }}{% if DREAM %}{{ '<think>\n\n</think>\n\n' }}{% endif %}{% endif",
)
DATED = "{{ 'Today is ' + strftime_now('%d %B %Y') + '\n' }}" + CHATML


def as_written(tokenizer):
    """A record as it comes back from a file."""
    return json.loads(json.dumps(template_record(tokenizer)))


def drift(recorded, now):
    checkpoint = Checkpoint(now, probe(now), recorded={"baseline main": as_written(recorded)})
    return template_is_the_recorded_one(checkpoint)


@pytest.mark.parametrize(
    ("recorded", "now", "expected", "found"),
    [
        (CHATML, DEFAULT_SYSTEM, "default system text: none", "default system text: 'Be kind.'"),
        (CHATML.replace("m['content']", "m['content'] | trim"), CHATML, "user: trimmed", "user: kept"),
        (WITH_BOS, CHATML, "'<|begin|>' (id ", "BOS before a row: 0"),
        (
            THINKING.replace("DREAM", "false"),
            THINKING.replace("DREAM", "true"),
            "no token",
            "'<think>\\n\\n</think>\\n\\n' (ids 27 ",
        ),
        (CHATML, CHATML.replace("<|im_end|>", "<|end|>"), "'<|im_end|>' (id 386)", "'<|end|>' (id "),
    ],
    ids=["default system", "white space", "bos", "opened thoughts", "terminator"],
)
def test_another_template_is_found_with_its_tokens_and_habits(recorded, now, expected, found):
    (finding,) = drift(tokenizer_with(recorded), tokenizer_with(now))
    assert "baseline main; the conversation 'user', token " in finding.where
    assert expected in finding.expected
    assert found in finding.found


def test_a_switch_that_changes_its_default_is_found():
    thinks = THINKING.replace("DREAM", "enable_thinking is defined and not enable_thinking")
    never = THINKING.replace("DREAM", "enable_thinking is not defined or not enable_thinking")
    (finding,) = drift(tokenizer_with(thinks), tokenizer_with(never))
    assert "enable_thinking: changes the text when False" in finding.expected
    assert "enable_thinking: changes the text when True" in finding.found


def test_a_role_that_is_no_longer_taken_is_found():
    refuses = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}" + CHATML
    (finding,) = drift(tokenizer_with(CHATML), tokenizer_with(refuses))
    assert finding.where == "baseline main; the conversation 'system, user'"
    assert "refused; system messages: refused" in finding.found


def test_a_tokenizer_that_puts_bos_before_plain_text_no_more_is_found():
    (finding,) = drift(tokenizer_with(CHATML, adds_bos=True), tokenizer_with(CHATML))
    assert (finding.expected, finding.found) == ("BOS before plain text: 1", "BOS before plain text: 0")


def test_a_terminator_that_became_ordinary_text_is_found():
    (finding,) = drift(tokenizer_with(CHATML), tokenizer_with(CHATML, special=["<|im_start|>"]))
    assert finding.expected.startswith("'<|im_end|>' (id 386)")
    assert "an answer ends with: no control token" in finding.found


@pytest.mark.parametrize(
    ("recorded", "now"),
    [
        (CHATML, CHATML),
        (CHATML, "{# the same #}" + CHATML),
        (CHATML, MARKED),
        (MARKED, CHATML),
        (DATED, DATED),
        (CHATML, "{% set turns = messages %}" + CHATML.replace("in messages", "in turns")),
    ],
    ids=["itself", "a comment", "marks", "no marks", "the date", "other names inside"],
)
def test_a_template_that_writes_the_same_is_no_drift(recorded, now):
    assert drift(tokenizer_with(recorded), tokenizer_with(now)) == []


def test_the_format_of_a_date_is_kept_and_not_the_date():
    record = as_written(tokenizer_with(DATED))
    assert "Today is %d %B %Y" in record["chat"]["probes"]["user"]["tokens"].replace(BETWEEN, "")
    (finding,) = drift(tokenizer_with(DATED), tokenizer_with(DATED.replace("%B", "%b")))
    assert finding.where.startswith("baseline main; the conversation 'user', token ")


def test_a_record_of_the_digest_alone_is_still_compared():
    tokenizer = tokenizer_with(CHATML)
    habits = probe(tokenizer)
    same = Checkpoint(tokenizer, habits, recorded={"baseline old": {"template": habits.digest, "weights": "00"}})
    other = Checkpoint(tokenizer, habits, recorded={"baseline old": {"template": "0123456789ab"}})
    none = Checkpoint(tokenizer, habits, recorded={"baseline old": {"weights": "00"}})
    assert template_is_the_recorded_one(same) == template_is_the_recorded_one(none) == []
    (finding,) = template_is_the_recorded_one(other)
    assert (finding.where, finding.expected) == ("baseline old", "the digest 0123456789ab")
    assert finding.found == f"the digest {habits.digest}"


@pytest.mark.parametrize(
    "damaged",
    [
        {},
        {"habits": [], "probes": "x"},
        {"format": 1, "habits": {}, "probes": {}},
        {"format": 0, "habits": {"reasoning": "in other words"}},
    ],
)
def test_what_a_record_does_not_hold_is_no_change(damaged):
    tokenizer = tokenizer_with(CHATML)
    assert not what_changed(damaged, chat_record(tokenizer, probe(tokenizer)))


def test_a_record_is_small_sorted_text():
    record = as_written(tokenizer_with(CHATML))
    assert set(record) == {"template", "chat"}
    assert set(record["chat"]) == {"format", "habits", "probes"}
    for kept in record["chat"]["probes"].values():
        assert len(kept["ids"].split()) == len(kept["tokens"].split(BETWEEN))
    assert len(json.dumps(record)) < 6000
    assert template_record(tokenizer_with("{{ raise_exception('no') }}")) == {}


def test_a_change_is_one_line_for_a_verdict():
    left, right = (as_written(tokenizer_with(template))["chat"] for template in (CHATML, WITH_BOS))
    line = str(what_changed(left, right))
    assert line.startswith("the conversation 'user', token 0: no token -> '<|begin|>' (id ")
    assert "\n" not in line


def test_a_template_that_was_lost_on_saving_is_found(tmp_path):
    trained = tokenizer_with(CHATML)
    trained.save_pretrained(tmp_path)
    (tmp_path / "chat_template.jinja").unlink()
    found = AutoTokenizer.from_pretrained(tmp_path)
    prepare(found)  # as every model is loaded: without a template of its own it gets the default one
    (finding,) = drift(trained, found)
    assert finding.expected.startswith("'<|im_start|>user\\n' (ids 385 ")
    assert "'<|end|>' (id " in finding.found


def test_what_two_processes_know_of_one_model_is_kept_together():
    session = Records(environment={"model": {"name": "m", "chat": {}}, "device": "cpu"})
    session.add(Records(environment={"model": {"name": "m", "weights": "00"}, "device": "cuda"}))
    assert session.environment == {"model": {"name": "m", "chat": {}, "weights": "00"}, "device": "cuda"}
