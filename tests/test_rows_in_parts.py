"""Rows whose contents are lists of typed parts: fine where the template reads them, a fault where it prints them."""

import pytest

from harness.inspection.stand_in import stand_in_trainer
from harness.zoo.examine import examine
from harness.zoo.exhibit import Setup
from harness.zoo.parts import tokenizer_with

READ = "(m['content'] if m['content'] is string else m['content'] | map(attribute='text') | join(''))"
PRINTED = "m['content'] | string"


def parts(*texts):
    return [{"type": "text", "text": text} for text in texts]


ROWS = [
    {
        "messages": [
            {"role": "user", "content": parts("What opens", " at noon?")},
            {"role": "assistant", "content": parts("The gate.")},
        ]
    }
]


def found_with(said, **options):
    template = (
        "{% for m in messages %}{% set said = " + said + " %}{{ '<|im_start|>' + m['role'] + '\n' }}"
        "{% if m['role'] == 'assistant' %}{% generation %}{{ said + '<|im_end|>' }}{% endgeneration %}"
        "{% else %}{{ said + '<|im_end|>' }}{% endif %}{{ '\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    )
    tokenizer = tokenizer_with(template)
    return examine(Setup(tokenizer=tokenizer, trainer=stand_in_trainer(tokenizer, ROWS, **options), rows=ROWS))


@pytest.mark.parametrize("options", [{}, {"assistant_only_loss": False}])
def test_parts_that_the_template_reads_raise_no_alarm(options):
    assert found_with(READ, **options) == {}


def test_parts_that_the_template_prints_with_their_brackets_are_found():
    assert "mask/every_message_reaches_its_row" in found_with(PRINTED)
