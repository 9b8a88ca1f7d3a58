"""Every named format on every kind of tokenizer: what it writes, and the cases that every template is held to."""

import pytest

from harness.chat.formats import FORMATS, load
from harness.chat.probe import probe
from harness.chat.template import REFUSALS, prepare, render
from harness.errors import ModelError
from harness.inspection import checks
from harness.inspection.matching import inspect_batches
from harness.inspection.stand_in import stand_in_trainer
from harness.zoo.parts import ROWS, tokenizer_with
from tokenizer_kinds import TOKENIZERS

TALK = [
    {"role": "system", "content": "Be short."},
    {"role": "user", "content": "Who?"},
    {"role": "assistant", "content": "A fox."},
    {"role": "user", "content": "When?"},
    {"role": "assistant", "content": "At noon."},
]

WRITTEN = {
    "alpaca": "Be short.\n\n### Instruction:\nWho?\n\n### Response:\nA fox.<e>\n\n### Instruction:\nWhen?\n\n"
    "### Response:\nAt noon.<e>",
    "alpaca-zh": "Be short.\n\n### 指令：\nWho?\n\n### 回答：\nA fox.<e>\n\n### 指令：\nWhen?\n\n"
    "### 回答：\nAt noon.<e>",
    "chatml": "<|im_start|>system\nBe short.<|im_end|>\n<|im_start|>user\nWho?<|im_end|>\n"
    "<|im_start|>assistant\nA fox.<|im_end|>\n<|im_start|>user\nWhen?<|im_end|>\n"
    "<|im_start|>assistant\nAt noon.<|im_end|>\n",
    "llama2": "[INST] <<SYS>>\nBe short.\n<</SYS>>\n\nWho? [/INST] A fox. <e>[INST] When? [/INST] At noon. <e>",
    "llama3": "<|start_header_id|>system<|end_header_id|>\n\nBe short.<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nWho?<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nA fox.<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nWhen?<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nAt noon.<|eot_id|>",
    "plain": "System: Be short.\nUser: Who?\nAssistant: A fox.<e>\nUser: When?\nAssistant: At noon.<e>\n",
}


def with_format(name, kind="bytes"):
    tokenizer = TOKENIZERS[kind]()
    tokenizer.chat_template = load(name, tokenizer)
    return tokenizer


@pytest.mark.parametrize("name", FORMATS)
def test_a_format_writes_what_its_name_promises(name):
    tokenizer = with_format(name)
    assert render(tokenizer, TALK) == WRITTEN[name].replace("<e>", tokenizer.eos_token)
    prompt = render(tokenizer, TALK[:-1], generation_prompt=True)
    assert render(tokenizer, TALK).startswith(prompt)
    assert not prompt.endswith(" ")


@pytest.mark.parametrize("kind", TOKENIZERS)
@pytest.mark.parametrize("name", FORMATS)
def test_no_case_of_the_template_suite_finds_anything(name, kind):
    tokenizer = with_format(name, kind)
    habits = probe(tokenizer)
    assert {case: found for case, check in checks.CHAT.items() if (found := check(tokenizer, habits))} == {}


@pytest.mark.parametrize("kind", TOKENIZERS)
@pytest.mark.parametrize("name", FORMATS)
def test_no_case_of_the_mask_suite_finds_anything_and_every_answer_teaches_its_end(name, kind):
    tokenizer = with_format(name, kind)
    ends = probe(tokenizer).terminator_id
    split = [{"prompt": row["messages"][:-1], "completion": row["messages"][-1:]} for row in ROWS]
    for rows, answers in ((ROWS, [1, 2, 1]), (split, [1, 1, 1])):
        trainer = stand_in_trainer(tokenizer, rows)
        seen = inspect_batches(trainer, rows)
        assert {case: found for case, check in checks.BATCHES.items() if (found := check(seen))} == {}
        assert {case: found for case, check in checks.TRAINER.items() if (found := check(trainer, seen))} == {}
        assert [row["labels"].count(ends) for row in trainer.train_dataset] == answers


@pytest.mark.parametrize("kind", TOKENIZERS)
@pytest.mark.parametrize("name", FORMATS)
def test_a_conversation_begins_with_bos_exactly_where_plain_text_does(name, kind):
    assert probe(with_format(name, kind)).bos_run == (0 if kind == "bytes" else 1)


def test_llama2_begins_every_exchange_with_bos():
    tokenizer = with_format("llama2", "bytes after BOS")
    assert render(tokenizer, TALK).count(f"{tokenizer.bos_token}[INST]") == 2


def test_a_system_text_takes_the_place_of_the_preamble():
    tokenizer = with_format("alpaca")
    assert probe(tokenizer).default_system in render(tokenizer, TALK[1:])
    assert probe(tokenizer).default_system
    assert probe(tokenizer).default_system not in render(tokenizer, TALK)
    empty = [{"role": "system", "content": ""}, *TALK[1:]]
    assert render(tokenizer, empty).startswith("### Instruction:\nWho?")


@pytest.mark.parametrize(("name", "header"), [("alpaca", "### Input:"), ("alpaca-zh", "### 输入：")])
def test_the_input_of_an_alpaca_row_gets_its_section(name, header):
    tokenizer = with_format(name)
    message = {"role": "user", "content": "Translate.\n\n chat ", "input": " chat "}
    assert f"\nTranslate.\n\n{header}\nchat\n\n###" in render(tokenizer, [message], generation_prompt=True)
    for absent in (None, "", "dog"):
        assert header not in render(tokenizer, [message | {"input": absent}], generation_prompt=True)
    rows = [{"prompt": [message], "completion": TALK[2:3]}, *({"prompt": TALK[1:2], "completion": TALK[2:3]},) * 2]
    seen = inspect_batches(stand_in_trainer(tokenizer, rows), rows)
    assert {case: found for case, check in checks.BATCHES.items() if (found := check(seen))} == {}


CALL = {"type": "function", "function": {"name": "clock", "arguments": {}}}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize(
    "messages",
    [
        [*TALK[1:3], {"role": "tool", "content": "noon"}],
        [TALK[1], {"role": "assistant", "content": None}],
        [TALK[1], {"role": "assistant", "content": "", "tool_calls": [CALL]}],
        [TALK[1], {"role": "assistant", "content": "A fox.", "reasoning_content": "Hm."}],
        [{"role": "user", "content": [{"type": "text", "text": "Who?"}]}],
    ],
)
def test_what_a_format_cannot_write_it_refuses(name, messages):
    with pytest.raises(REFUSALS, match="this format"):
        render(with_format(name), messages)


@pytest.mark.parametrize("name", FORMATS)
def test_tools_on_offer_are_refused_and_never_lost(name):
    with pytest.raises(REFUSALS, match="no place for tools"):
        render(with_format(name), TALK, tools=[CALL])


@pytest.mark.parametrize("name", ["llama2", "alpaca", "alpaca-zh"])
def test_a_second_system_message_is_refused_where_there_is_no_place_for_it(name):
    with pytest.raises(REFUSALS, match="this format"):
        render(with_format(name), [*TALK[:3], TALK[0], *TALK[3:]])


@pytest.mark.parametrize("name", ["chatml", "llama3"])
def test_control_tokens_that_are_only_characters_are_refused(name):
    tokenizer = tokenizer_with(None, special=FORMATS[name].controls[:1])
    with pytest.raises(ModelError, match=r"as plain characters.*plain\), or add them") as raised:
        load(name, tokenizer)
    assert FORMATS[name].controls[0] not in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["alpaca", "alpaca-zh", "llama2", "plain"])
def test_a_tokenizer_without_eos_is_refused_where_eos_ends_answers(name):
    tokenizer = tokenizer_with(None)
    tokenizer.eos_token = None
    with pytest.raises(ModelError, match="ends answers with the eos token"):
        load(name, tokenizer)


def test_an_unknown_name_is_answered_with_the_names():
    with pytest.raises(ModelError, match="alpaca, alpaca-zh, chatml, llama2, llama3, plain"):
        load("chatlm", tokenizer_with(None))


def test_a_tokenizer_without_a_template_gets_the_plain_format():
    tokenizer = tokenizer_with(None, adds_bos=True)
    prepare(tokenizer)
    assert tokenizer.chat_template == load("plain", tokenizer)
