import pytest

from harness.chat.probe import probe
from harness.chat.template import encode, has_generation_markers, prepare, render, template_digest
from harness.errors import ModelError
from harness.zoo.parts import CHATML, ROWS, tokenizer_with

MESSAGES = ROWS[1]["messages"]


def test_a_tokenizer_without_template_gets_the_documented_default():
    tokenizer = tokenizer_with(None)
    tokenizer.pad_token = None
    notes = prepare(tokenizer)
    assert render(tokenizer, MESSAGES[:3]) == (
        "System: Be short.\nUser: Who crosses the garden?\nAssistant: A fox.<|end|>\n"
    )
    assert render(tokenizer, MESSAGES[:2], generation_prompt=True).endswith("garden?\nAssistant:")
    assert tokenizer.pad_token == "<|end|>"
    assert len(notes) == 2
    assert has_generation_markers(tokenizer)


def test_the_default_starts_with_bos_where_plain_text_does():
    tokenizer = tokenizer_with(None, adds_bos=True)
    prepare(tokenizer)
    assert probe(tokenizer).bos_run == 1


def test_a_tokenizer_with_template_and_pad_is_left_alone():
    tokenizer = tokenizer_with(CHATML)
    assert prepare(tokenizer) == ()
    assert tokenizer.chat_template == CHATML


def test_no_template_and_no_eos_is_one_sentence():
    tokenizer = tokenizer_with(None)
    tokenizer.eos_token = None
    with pytest.raises(ModelError, match="neither a chat template nor an eos token"):
        prepare(tokenizer)


def test_ids_are_those_of_the_rendered_text():
    tokenizer = tokenizer_with(CHATML)
    assert encode(tokenizer, MESSAGES) == tokenizer(render(tokenizer, MESSAGES))["input_ids"]


def test_the_digest_tells_templates_apart():
    assert template_digest(tokenizer_with(CHATML)) != template_digest(tokenizer_with(CHATML + " "))
    assert template_digest(tokenizer_with(None)) == ""
