"""A template that prompts for no answer after a tool's result: a fault where the rows mask what is then missing."""

import pytest

from harness.inspection.stand_in import stand_in_trainer
from harness.zoo.examine import examine
from harness.zoo.exhibit import Setup
from harness.zoo.parts import tokenizer_with

CALL = {"type": "function", "function": {"name": "look_outside", "arguments": '{"garden": "north"}'}}
ROWS = [
    {
        "messages": [
            {"role": "user", "content": "Does it rain?"},
            {"role": "assistant", "content": "", "tool_calls": [CALL]},
            {"role": "tool", "content": "rain"},
            {"role": "assistant", "content": "It rains in the north."},
        ]
    }
]
CASE = "mask/an_answer_is_prompted_as_at_inference"


def found_with(prompted, marked):
    begin, end = ("{% generation %}", "{% endgeneration %}") if marked else ("", "")
    said = "{{ (m['content'] or '') + (m['tool_calls'] | tojson if m['tool_calls'] else '') + '<|im_end|>' }}"
    template = (
        "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}{% if m['role'] == 'assistant' %}"
        + begin
        + said
        + end
        + "{% else %}{{ m['content'] + '<|im_end|>' }}{% endif %}{{ '\n' }}{% endfor %}"
        + f"{{% if add_generation_prompt and {prompted} %}}{{{{ '<|im_start|>assistant\n' }}}}{{% endif %}}"
    )
    tokenizer = tokenizer_with(template)
    return examine(Setup(tokenizer=tokenizer, trainer=stand_in_trainer(tokenizer, ROWS), rows=ROWS))


def test_a_header_that_is_neither_given_nor_taught_is_found():
    assert CASE in found_with("messages[-1]['role'] == 'user'", marked=True)


@pytest.mark.parametrize(
    ("prompted", "marked"),
    [
        pytest.param("messages[-1]['role'] == 'user'", False, id="the model learns to write the header"),
        pytest.param("true", True, id="the prompt gives it"),
    ],
)
def test_a_header_that_is_given_or_taught_raises_no_alarm(prompted, marked):
    assert found_with(prompted, marked) == {}
