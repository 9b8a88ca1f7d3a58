from pathlib import Path

import pytest
import trl

from harness.chat.control import MARKER
from harness.chat.probe import probe
from harness.errors import ModelError
from harness.zoo.parts import CHATML, WITH_BOS, tokenizer_with


def test_the_terminator_is_what_follows_the_answer_and_not_the_eos_token():
    habits = probe(tokenizer_with(CHATML, eos="<|end|>"))
    assert habits.terminator == "<|im_end|>"
    assert habits.ends_last_turn
    assert habits.generation_prompt == "<|im_start|>assistant\n"
    assert habits.prefix_preserving
    assert habits.roles == {"system": "own turn", "tool": "own turn"}
    assert habits.bos_run == 0


def test_a_terminator_that_the_next_role_brings_is_found():
    template = (
        "{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
    )
    habits = probe(tokenizer_with(template, special=("<|user|>", "<|assistant|>", "<|system|>")))
    assert habits.terminator == "<|user|>"
    assert not habits.ends_last_turn


def test_an_end_of_text_after_the_last_turn_is_no_terminator():
    habits = probe(tokenizer_with(CHATML + "{% if not add_generation_prompt %}{{ eos_token }}{% endif %}"))
    assert habits.terminator == "<|im_end|>"
    assert len(habits.closing_ids) == 2


def test_a_plain_template_has_no_terminator():
    template = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '\n' }}{% endfor %}"
    assert probe(tokenizer_with(template)).terminator_id is None


def test_habits_of_system_messages_are_told_apart():
    refuses = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}" + CHATML
    loses = CHATML.replace("{{ '<|im_start|>'", "{% if m['role'] != 'system' %}{{ '<|im_start|>'").replace(
        "'<|im_end|>\n' }}", "'<|im_end|>\n' }}{% endif %}"
    )
    supplies = "{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nBe kind.<|im_end|>\n' }}{% endif %}"
    assert probe(tokenizer_with(refuses)).roles["system"] == "refused"
    assert probe(tokenizer_with(loses)).roles["system"] == "lost"
    assert probe(tokenizer_with(supplies + CHATML)).default_system == "Be kind."
    assert probe(tokenizer_with(CHATML)).default_system == ""


def test_bos_and_stripping_are_seen():
    assert probe(tokenizer_with(WITH_BOS)).bos_run == 1
    assert probe(tokenizer_with(CHATML.replace("m['content']", "m['content'] | trim"))).strips_content
    assert not probe(tokenizer_with(CHATML)).strips_content


def test_a_template_without_user_messages_is_one_sentence():
    with pytest.raises(ModelError, match="no conversation of one user message"):
        probe(tokenizer_with("{{ raise_exception('no') }}"))


STOCK = sorted((Path(trl.__file__).parent / "chat_templates").glob("*.jinja"))


@pytest.mark.parametrize("file", STOCK, ids=lambda file: file.stem)
def test_every_stock_template_has_a_terminator_and_a_header(file):
    template = file.read_text(encoding="utf-8")
    habits = probe(tokenizer_with(template, special=stock_specials(template), eos="</s>"))
    assert habits.terminator_id is not None
    assert habits.assistant_header


def stock_specials(template):
    """The strings of a stock template that its own tokenizer has as control tokens."""
    named = ("<end_of_turn>", "<start_of_turn>", "<end_of_utterance>", "<|turn>", "<turn|>", "<fake_token>")
    return sorted({*MARKER.findall(template), *(word for word in named if word in template)})
