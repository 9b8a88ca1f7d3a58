"""Roles, tools, missing contents and reasoning: a template that breaks one of them, and its legitimate twin."""

import pytest

from harness.chat import answer_ends, missing, reasoning, roles, tool_turns
from harness.chat.probe import probe
from harness.zoo.parts import CHATML, MARKED, tokenizer_with

LINES = "{% for m in messages %}{{ HEADER + m['content'] + '\n' }}{% endfor %}"
INSTRUCT = (
    "{% for m in messages %}{% if m['role'] == 'user' %}{{ '[INST] ' + m['content'] + ' [/INST]' }}"
    "{% else %}{{ m['content'] }}{% if m['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endif %}{% endfor %}"
)
ONLY_ENDINGS_DIFFER = (
    "{% for m in messages %}{{ m['content'] + (eos_token if m['role'] == 'assistant' else '\n') }}{% endfor %}"
)
SYSTEM_AS_USER = CHATML.replace("m['role']", "(m['role'] if m['role'] == 'assistant' else 'user')")
SYSTEM_AS_ASSISTANT = CHATML.replace("m['role']", "(m['role'] if m['role'] == 'user' else 'assistant')")
ALIKE = CHATML.replace("m['role']", "'user'")
BY_EOS_ALONE = "{% for m in messages %}{{ m['content'] + eos_token }}{% endfor %}"


def found(check, template):
    tokenizer = tokenizer_with(template)
    return [finding.what for finding in check(tokenizer, probe(tokenizer))]


@pytest.mark.parametrize("template", [CHATML, MARKED, INSTRUCT, ONLY_ENDINGS_DIFFER, SYSTEM_AS_USER])
def test_roles_that_can_be_told_apart_raise_no_alarm(template):
    assert found(roles.roles_are_told_apart, template) == []


@pytest.mark.parametrize("template", [ALIKE, BY_EOS_ALONE, LINES.replace("HEADER", "'User: '")])
def test_a_user_and_an_assistant_who_look_alike_are_found(template):
    assert found(roles.roles_are_told_apart, template) == [
        "the template frames user and assistant alike, so nobody can tell who speaks"
    ]


def test_a_system_message_that_poses_as_an_answer_is_found():
    assert found(roles.roles_are_told_apart, SYSTEM_AS_ASSISTANT) == [
        "the template writes a system message as if the assistant had said it"
    ]


WITH_TOOLS = (
    "{% if tools %}{{ '<|im_start|>system\n' }}{% for tool in tools %}{{ TOOL + '\n' }}{% endfor %}"
    "{{ '<|im_end|>\n' }}{% endif %}"
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + CONTENT }}"
    "{% for call in m['tool_calls'] or [] %}{{ '<tool_call>' + CALL + '</tool_call>' }}{% endfor %}"
    "{{ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
NAME = """'{"name": "' + call['function']['name'] + '", "arguments": '"""


def with_tools(tool="(tool | tojson)", content="(m['content'] or '')", call="(call['function'] | tojson)"):
    return WITH_TOOLS.replace("TOOL", tool).replace("CONTENT", content).replace("CALL", call)


@pytest.mark.parametrize(
    "template",
    [
        with_tools(),
        CHATML,
        with_tools(call=NAME + " + call['function']['arguments'] + '}'"),
        with_tools(
            call="call['function']['name'] + '(' + (call['function']['arguments'].items() | list | tojson) + ')'"
        ),
        with_tools(content="(raise_exception('no tools') if m['role'] == 'tool' else m['content'])"),
        CHATML.replace("for m in messages", "for m in messages if m['role'] != 'tool'"),
    ],
    ids=["whole", "calls never read", "arguments as text", "another notation", "refused", "no tools at all"],
)
def test_tools_that_are_written_whole_or_not_supported_raise_no_alarm(template):
    assert found(tool_turns.tools_are_written_whole, template) == []


@pytest.mark.parametrize(
    ("template", "what"),
    [
        (with_tools(content="(m['content'] if m['role'] != 'tool' else '')"), "a tool call or its result"),
        (with_tools(call="call['function']['name']"), "a tool call or its result"),
        (with_tools(call="(call['function']['arguments'] | tojson)"), "a tool call or its result"),
        (with_tools(call=NAME + " + call['function']['arguments'] | string + '}'"), None),
        (
            with_tools(call=NAME + " + (call['function']['arguments'] | tojson | tojson) + '}'"),
            "a tool call or its result",
        ),
        (
            with_tools(call=NAME + " + ((call['function']['arguments'] | length) | string) + '}'"),
            "a tool call or its result",
        ),
        (with_tools(tool="tool['function']['name']"), "tools on offer"),
        (with_tools(tool="(tools[0] | tojson)"), "tools on offer"),
    ],
    ids=["result", "arguments", "name", "text taken as it is", "escaped twice", "values", "offer", "second offer"],
)
def test_what_is_lost_of_tools_is_found(template, what):
    findings = found(tool_turns.tools_are_written_whole, template)
    assert [finding for finding in findings if what is None or not finding.startswith(what)] == []
    assert bool(findings) == (what is not None)


def test_a_text_that_is_lost_beside_a_call_is_noted_and_is_no_finding():
    silent = with_tools(content="('' if m['tool_calls'] else m['content'])")
    assert found(tool_turns.tools_are_written_whole, silent) == []
    noted = {name: "\n".join(probe(tokenizer_with(t)).notes) for name, t in (("kept", with_tools()), ("lost", silent))}
    assert "only the call" in noted["lost"]
    assert "only the call" not in noted["kept"]


def test_arguments_in_pythons_writing_are_found():
    template = with_tools(call=NAME + " + (dict(call['function']['arguments']) | string) + '}'")
    assert found(tool_turns.tools_are_written_whole, template) == ["a tool call or its result is not written whole"]


@pytest.mark.parametrize("content", ["m['content']", "(m['content'] or '')", "(m['content'] | string)"])
def test_a_missing_content_that_is_empty_or_refused_raises_no_alarm(content):
    assert found(missing.missing_content_is_not_text, with_tools(content=content)) == []


@pytest.mark.parametrize("content", ["(m.get('content') | string)", "(m.get('content') | tojson)"])
def test_a_missing_content_that_becomes_a_word_is_found(content):
    (what,) = found(missing.missing_content_is_not_text, with_tools(content=content))
    assert what.startswith("a missing content is written as the word")


SAID = "{% set said = m['content'] %}{% if m['role'] == 'assistant' %}THINKING{% endif %}"


def thinking(how, tags=("<think>", "</think>")):
    template = CHATML.replace("m['content']", "said").replace(
        "{% for m in messages %}", "{% for m in messages %}" + SAID
    )
    template = template.replace("THINKING", how)
    return template.replace("<think>", tags[0]).replace("</think>", tags[1])


PARSES = (
    "{% set thought = m['reasoning_content'] or '' %}{% if '</think>' in said %}"
    "{% set thought = said.split('</think>')[0].split('<think>')[-1] %}"
    "{% set said = said.split('</think>')[-1] %}{% endif %}"
    "{% set said = '<think>\n' + thought.strip() + '\n</think>\n\n' + said.strip() %}"
)
ADDS_WHERE_NOTHING_CLOSES = (
    "{% if '</think>' not in said %}{% set said = '<think>\n\n</think>\n\n' + said %}{% endif %}"
)
ADDS_WHERE_NOTHING_OPENS = "{% if '<think>' not in said %}{% set said = '<think>\n\n</think>\n\n' + said %}{% endif %}"
DROPS = "{% set said = said.split('</think>')[-1] %}"
CLOSES = "{% set said = '</think>' + said.split('</think>')[-1] %}"
BY_FIELD_ALONE = "{% set said = '<think>\n' + (m['reasoning_content'] or '') + '\n</think>\n\n' + said %}"
STRIPS_TAGS = "{% set said = said.replace('<think>', '').replace('</think>', '') %}"
FORGETS_TO_CLOSE = (
    "{% if m['reasoning_content'] %}{% set said = '<think>' + m['reasoning_content'] + '\n\n' + said %}{% endif %}"
    "{# </think> #}"
)
TAGS = [("<think>", "</think>"), ("[THINK]", "[/THINK]"), ("<|START_THINKING|>", "<|END_THINKING|>")]


@pytest.mark.parametrize("tags", TAGS)
@pytest.mark.parametrize("how", ["", PARSES, ADDS_WHERE_NOTHING_CLOSES, DROPS, CLOSES, BY_FIELD_ALONE])
def test_reasoning_that_is_kept_in_order_raises_no_alarm(how, tags):
    assert found(reasoning.reasoning_is_balanced, thinking(how, tags)) == []


@pytest.mark.parametrize("tags", TAGS)
@pytest.mark.parametrize("how", [ADDS_WHERE_NOTHING_OPENS, STRIPS_TAGS, FORGETS_TO_CLOSE])
def test_reasoning_out_of_balance_is_found(how, tags):
    assert found(reasoning.reasoning_is_balanced, thinking(how, tags)) == [
        "the template breaks the block of reasoning in an answer"
    ]


ENDS = "only the last answer of a conversation is ended"
OPENS = "the template opens another assistant turn after an answer, although no prompt was asked for"
BY_THE_LAST_ALONE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] }}"
    "{% if loop.last or m['role'] != 'assistant' %}{{ '<|im_end|>' }}{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
ANOTHER_END_FOR_THE_LAST = BY_THE_LAST_ALONE.replace(
    "{% if loop.last or m['role'] != 'assistant' %}{{ '<|im_end|>' }}{% endif %}",
    "{{ eos_token if loop.last and m['role'] == 'assistant' else '<|im_end|>' }}",
)
IF_ASKED = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
ALWAYS = "{{ '<|im_start|>assistant\n' }}"
BEGINS_EACH_TURN = "{% for m in messages %}{{ eos_token + m['role'] + ': ' + m['content'] }}{% endfor %}{{ eos_token }}"


@pytest.mark.parametrize("template", [CHATML, MARKED, INSTRUCT, ANOTHER_END_FOR_THE_LAST, BEGINS_EACH_TURN])
def test_answers_that_end_once_raise_no_alarm(template):
    assert found(answer_ends.every_answer_ends_once, template) == []


@pytest.mark.parametrize(
    ("template", "what"),
    [
        (BY_THE_LAST_ALONE, ENDS),
        (INSTRUCT.replace("m['role'] == 'assistant'", "loop.last"), ENDS),
        (CHATML.replace(IF_ASKED, ALWAYS), OPENS),
        (CHATML.replace("<|im_end|>", "<|im_end|><|im_end|>"), "the template ends an answer twice"),
    ],
)
def test_answers_that_do_not_end_once_are_found(template, what):
    assert found(answer_ends.every_answer_ends_once, template) == [what]


def test_a_header_that_nobody_asked_for_is_not_taken_for_the_end_of_an_answer():
    assert probe(tokenizer_with(CHATML.replace(IF_ASKED, ALWAYS))).terminator == "<|im_end|>"


def test_an_end_that_the_generation_prompt_writes_too_is_still_the_end_of_an_answer():
    closed_by_the_prompt = CHATML.replace(
        "m['content'] + '<|im_end|>\n'",
        "m['content'] + ('<|im_end|>\n' if m['role'] == 'assistant' or not loop.last else '')",
    ).replace(ALWAYS, "{{ '<|im_end|>\n<|im_start|>assistant\n' }}")
    habits = probe(tokenizer_with(closed_by_the_prompt))
    assert "<|im_end|>" in habits.generation_prompt
    assert habits.terminator == "<|im_end|>"
