from pathlib import Path
from typing import get_args

import pytest
import trl

from harness.chat.abilities import Support
from harness.chat.control import MARKER
from harness.chat.probe import probe
from harness.errors import ModelError
from harness.zoo.parts import CHATML, MARKED, WITH_BOS, tokenizer_with


def test_the_terminator_is_what_follows_the_answer_and_not_the_eos_token():
    habits = probe(tokenizer_with(CHATML, eos="<|end|>"))
    assert habits.terminator == "<|im_end|>"
    assert habits.ends_last_turn
    assert habits.generation_prompt == "<|im_start|>assistant\n"
    assert habits.prefix_preserving
    assert [habits.roles[role] for role in ("system", "user", "assistant")] == ["own turn"] * 3
    assert habits.roles["tool"] == habits.roles["developer"] == habits.roles["any other"] == "as written"
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
    trimmed = probe(tokenizer_with(CHATML.replace("m['content']", "m['content'] | trim"))).white_space
    assert trimmed == {"system": "trimmed", "user": "trimmed", "assistant": "trimmed"}
    half = CHATML.replace("m['content']", "(m['content'].rstrip() if m['role'] == 'assistant' else m['content'])")
    assert probe(tokenizer_with(half)).white_space == {
        "system": "kept",
        "user": "kept",
        "assistant": "trimmed after",
    }
    assert probe(tokenizer_with(CHATML)).text_bos_run == 0
    assert probe(tokenizer_with(CHATML, adds_bos=True)).text_bos_run == 1


def test_roles_are_told_apart_by_what_becomes_of_them():
    knows = "{% if m['role'] not in ['system', 'user', 'assistant'] %}{{ raise_exception('unknown role') }}{% endif %}"
    refuses = probe(tokenizer_with(CHATML.replace("%}{{ '<|im_start|>' + m", f"%}}{knows}{{{{ '<|im_start|>' + m", 1)))
    assert refuses.roles["system"] == "own turn"
    assert refuses.roles["tool"] == refuses.roles["developer"] == refuses.roles["any other"] == "refused"
    capitals = CHATML.replace("m['role']", "m['role'] | upper")
    assert probe(tokenizer_with(capitals)).roles["developer"] == "as written"
    renames = CHATML.replace("m['role']", "('system' if m['role'] == 'developer' else m['role'])")
    assert probe(tokenizer_with(renames)).roles["developer"] == "own turn"
    others = CHATML.replace("m['role']", "(m['role'] if m['role'] in ['system', 'assistant'] else 'user')")
    assert probe(tokenizer_with(others)).roles["developer"] == "as the user"


def test_the_order_of_roles_is_taken_or_refused():
    alternates = "{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('alternate') }}{% endif %}"
    strict = probe(
        tokenizer_with(CHATML.replace("%}{{ '<|im_start|>' + m", f"%}}{alternates}{{{{ '<|im_start|>' + m", 1))
    )
    assert strict.orders == {"user after user": "refused", "answer first": "refused"}
    assert probe(tokenizer_with(CHATML)).orders == {"user after user": "taken", "answer first": "taken"}


def test_variables_are_known_by_what_they_do():
    template = (
        "{% set shown = mood is defined and mood %}{% if title is defined %}{{ title }}{% endif %}"
        "{% if unused %}{% endif %}{{ 'brief: ' if shown else '' }}"
        + CHATML.replace(
            "assistant\n' }}{% endif",
            "assistant\n' }}{% if dream is defined and not dream %}{{ '<dream></dream>' }}{% endif %}{% endif",
        )
    )
    assert probe(tokenizer_with(template)).variables == {
        "dream": "changes the text when False",
        "mood": "changes the text when True",
        "title": "written as text",
        "unused": "none seen",
    }
    assert probe(tokenizer_with(MARKED)).variables == {}


def test_tools_and_the_form_of_their_arguments_are_learned():
    calls = "{% for c in m.tool_calls or [] %}{{ 'CALL ' + c.function.name + ' ' }}{{ ARGUMENTS }}{% endfor %}"
    offers = "{% for t in tools or [] %}{{ t.function.name + '\n' }}{% endfor %}"
    template = offers + CHATML.replace("%}{{ '<|im_start|>' + m", f"%}}{calls}{{{{ '<|im_start|>' + m", 1)
    quoting = probe(tokenizer_with(template.replace("ARGUMENTS", "c.function.arguments | tojson")))
    assert (quoting.tools_on_offer, quoting.argument_forms) == ("taken", ("mapping",))
    joining = probe(tokenizer_with(template.replace("{{ ARGUMENTS", "{{ '' + c.function.arguments")))
    assert joining.argument_forms == ("text",)
    plain = probe(tokenizer_with(CHATML))
    assert (plain.tools_on_offer, plain.argument_forms) == ("lost", ())


def test_reasoning_is_written_in_every_turn_or_dropped_from_earlier_ones():
    always = CHATML.replace("+ m['content']", "+ (m.reasoning_content or '') + m['content']")
    last = CHATML.replace("+ m['content']", "+ ((m.reasoning_content or '') if loop.last else '') + m['content']")
    assert probe(tokenizer_with(always)).reasoning == "written"
    assert probe(tokenizer_with(last)).reasoning == "only in the last turn"
    assert probe(tokenizer_with(CHATML)).reasoning == "not written"


def test_a_probe_prints_as_a_table_of_habits_that_stays_the_same_from_day_to_day():
    dated = (
        "{% if messages[0].role != 'system' %}"
        "{{ '<|im_start|>system\nIt is ' + strftime_now('%d %B %Y') + '.<|im_end|>\n' }}{% endif %}"
    )
    habits = probe(tokenizer_with(dated + CHATML))
    assert habits.writes_date
    assert habits.table()["default system text"] == "'It is %d %B %Y.'"
    lines = str(habits).splitlines()
    assert len(lines) == len(habits.table())
    assert any(line.split("  ")[0] == "an answer ends with" and "'<|im_end|>' (id " in line for line in lines)
    assert "an answer ends with: '<|im_end|>'" in habits.summary


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
    assert set(habits.roles.values()) <= set(get_args(Support))


def stock_specials(template):
    """The strings of a stock template that its own tokenizer has as control tokens."""
    named = ("<end_of_turn>", "<start_of_turn>", "<end_of_utterance>", "<|turn>", "<turn|>", "<fake_token>")
    return sorted({*MARKER.findall(template), *(word for word in named if word in template)})
