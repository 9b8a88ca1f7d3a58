"""Training rows: the forms that are recognised, and the sentence for each that is not."""

import json
from pathlib import Path

import pytest

from harness.errors import DataError
from harness.rows import read_rows

ASK = {"role": "user", "content": "Is the shop open?"}
ANSWER = {"role": "assistant", "content": "Yes."}


def written(folder: Path, *rows: object) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"id": 1, "text": "Once."}, {"text": "Once."}),
        ({"messages": [ASK, ANSWER], "source": "x"}, {"messages": [ASK, ANSWER]}),
        (
            {"conversations": [{"from": "user", "value": "Hi"}, {"from": "assistant", "value": "Ho"}]},
            {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]},
        ),
        (
            {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Ho", "weight": 1}]},
            {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]},
        ),
        (
            {
                "system": "Be brief.",
                "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Ho"}],
                "tools": "[]",
            },
            {
                "messages": [
                    {"role": "system", "content": "Be brief."},
                    {"role": "user", "content": "Hi"},
                    {"role": "assistant", "content": "Ho"},
                ],
                "tools": "[]",
            },
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}, ANSWER]},
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}, ANSWER]},
        ),
        ({"prompt": "2+2=", "completion": "4"}, {"prompt": "2+2=", "completion": "4"}),
        ({"prompt": [ASK], "completion": [ANSWER]}, {"prompt": [ASK], "completion": [ANSWER]}),
        (
            {"instruction": "Translate.", "input": "chat", "output": "cat"},
            {
                "prompt": [{"role": "user", "content": "Translate.\n\nchat", "input": "chat"}],
                "completion": [{"role": "assistant", "content": "cat"}],
            },
        ),
        (
            {"instruction": "Is the shop open?", "input": "", "output": "Yes."},
            {"prompt": [ASK], "completion": [ANSWER]},
        ),
    ],
)
def test_a_row_is_recognised_by_its_columns(tmp_path, row, expected):
    assert read_rows(written(tmp_path, row)) == [expected]


def test_an_answer_that_only_calls_a_tool_needs_no_content(tmp_path):
    call = {"type": "function", "function": {"name": "clock", "arguments": {"zone": "UTC"}}}
    messages = [ASK, {"role": "assistant", "content": None, "tool_calls": [call]}, {"role": "tool", "content": "12"}]
    assert read_rows(written(tmp_path, {"messages": messages, "tools": [{"name": "clock"}]})) == [
        {"messages": messages, "tools": [{"name": "clock"}]}
    ]


def test_the_column_of_plain_text_can_have_another_name(tmp_path):
    assert read_rows(written(tmp_path, {"story": "Once."}), text_field="story") == [{"story": "Once."}]


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ([1], "a JSON object is expected"),
        ({"question": "?"}, "no usable columns among question"),
        ({"text": " "}, "text is empty"),
        ({"text": 3}, "text must be text, this is int"),
        ({"messages": []}, "at least one message"),
        ({"messages": ["Hi"]}, r"messages\[0\] must be a message"),
        ({"messages": [ASK]}, "no assistant turn"),
        ({"messages": [ASK, {"role": "assistant", "content": ""}]}, r"messages\[1\] is an empty assistant answer"),
        ({"messages": [{"role": "user", "content": None}, ANSWER]}, r"messages\[0\] has no content \(null\)"),
        ({"messages": [ASK, {"role": "assistant", "content": ["Yes"]}]}, "content of type list"),
        ({"messages": [ASK, {"role": "assistant", "content": [{"type": "text", "text": ""}]}]}, "empty assistant"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}, ANSWER]}, "content of type list"),
        ({"messages": [{"role": "human", "content": "Hi"}, ANSWER]}, "the role 'human'; write 'user'"),
        ({"conversations": [{"from": "humans", "value": "Hi"}, {"from": "gpt", "value": "Ho"}]}, "role 'humans'"),
        ({"conversations": [{"from": "human", "text": "Hi"}, {"from": "gpt", "value": "Ho"}]}, "no content"),
        ({"messages": [ASK, ANSWER], "tools": "[{"}, "tools is text and no JSON"),
        ({"messages": [ASK, ANSWER], "tools": {"name": "clock"}}, "tools must be a list"),
        ({"messages": [ASK, ANSWER], "chat_template_kwargs": "fast"}, "chat_template_kwargs must be an object"),
        ({"messages": [ASK, {"role": "gpt", "content": "Yes"}]}, "the role 'gpt'; write 'assistant'"),
        ({"messages": [ASK, {"role": "asistant", "content": "Yes"}]}, "the role 'asistant'; write 'assistant'"),
        ({"messages": [{"role": 7, "content": "Hi"}, ANSWER]}, "the role 7; roles are system, user"),
        ({"prompt": "Hi", "completion": [ANSWER]}, "must both be text or both be lists"),
        ({"prompt": [ASK], "completion": [ASK]}, "completion has no assistant turn"),
        ({"instruction": "Say nothing.", "output": ""}, "output is empty"),
    ],
)
def test_a_faulty_row_is_named_by_its_line(tmp_path, row, sentence):
    good = {"text": "Once."}
    with pytest.raises(DataError, match=sentence) as raised:
        read_rows(written(tmp_path, good, row))
    assert "rows.jsonl:2: " in str(raised.value)


def test_rows_of_two_forms_in_one_file_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"rows.jsonl:2: the row is messages, but the first row .*:1\) is text"):
        read_rows(written(tmp_path, {"text": "Once."}, {"messages": [ASK, ANSWER]}))


def test_malformed_json_is_named_by_line_and_column(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "Once."}\n{"text": \n', encoding="utf-8")
    with pytest.raises(DataError, match=r"rows.jsonl:2: not valid JSON at column"):
        read_rows(path)


def test_an_empty_file_is_refused(tmp_path):
    with pytest.raises(DataError, match="holds no training row"):
        read_rows(written(tmp_path))
