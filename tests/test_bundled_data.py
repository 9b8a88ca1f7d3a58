"""The sample files in suites/data: what the generator makes, and fit to be scored."""

import json
from collections import Counter
from pathlib import Path

import pytest

from harness.demo.corpus import chat_rows
from harness.demo.samples import FILES, as_jsonl

DATA = Path(__file__).parent.parent / "suites" / "data"


def lines(name):
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]


def is_chinese(text):
    return any("\u4e00" <= letter <= "\u9fff" for letter in text)


def prompt_text(line):
    return line["prompt"] if "prompt" in line else line["messages"][-1]["content"]


@pytest.mark.parametrize("name", FILES)
def test_a_bundled_file_is_what_the_generator_makes(name):
    assert (DATA / name).read_text(encoding="utf-8") == as_jsonl(FILES[name]())


@pytest.mark.parametrize("name", ["general_knowledge.jsonl", "quality.jsonl", "stopping.jsonl"])
def test_ids_and_prompts_are_unique(name):
    assert max(Counter(line["id"] for line in lines(name)).values()) == 1
    assert max(Counter(json.dumps(line.get("messages", line.get("prompt"))) for line in lines(name)).values()) == 1


def test_there_are_enough_questions_of_enough_subjects_in_both_languages():
    questions = lines("general_knowledge.jsonl")
    assert len(questions) >= 240
    assert len({question["subject"] for question in questions}) >= 8
    assert sum(is_chinese(question["prompt"]) for question in questions) >= 40


def test_each_question_has_four_distinct_choices_and_begins_them_at_a_word():
    for question in lines("general_knowledge.jsonl"):
        assert len(set(question["choices"])) == 4, question["id"]
        assert all(choice == choice.strip() and choice for choice in question["choices"]), question["id"]
        assert question["prompt"].endswith(("\nAnswer:", "\n答案：")), question["id"]


def test_the_right_answer_stands_at_each_place_equally_often():
    counts = Counter(question["target"] for question in lines("general_knowledge.jsonl"))
    assert set(counts) == {0, 1, 2, 3}
    assert max(counts.values()) - min(counts.values()) <= 1


def test_a_fact_told_in_two_languages_is_one_cluster():
    clusters = Counter(question["cluster"] for question in lines("general_knowledge.jsonl"))
    assert clusters["capitals:France"] == 2
    assert max(clusters.values()) == 2


def test_quality_samples_ask_for_a_sentence_in_both_languages():
    samples = lines("quality.jsonl")
    english = [sample["references"] for sample in samples if not is_chinese(sample["prompt"])]
    assert len(samples) - len(english) >= 12
    assert len(english) >= 60
    assert all(len(reference.split()) >= 4 for references in english for reference in references)


def test_no_prompt_of_a_quality_sample_is_in_the_tuning_rows():
    spoken = {message["content"] for row in chat_rows() for message in row}
    assert not spoken & {sample["prompt"] for sample in lines("quality.jsonl")}


def test_no_stopping_sample_is_a_tuning_row():
    prompts = [[message for message in row if message["role"] != "assistant"] for row in chat_rows()]
    for sample in lines("stopping.jsonl"):
        chat = sample.get("messages", [{"role": "user", "content": sample.get("prompt")}])
        assert [message for message in chat if message["role"] != "assistant"] not in prompts, sample["id"]


def test_stopping_samples_hold_both_languages_system_messages_and_several_turns():
    samples = lines("stopping.jsonl")
    chats = [sample["messages"] for sample in samples if "messages" in sample]
    assert len(samples) == 72
    assert sum(is_chinese(prompt_text(sample)) for sample in samples) >= 10
    assert any(chat[0]["role"] == "system" for chat in chats)
    assert any(len(chat) >= 3 and chat[1]["role"] == "assistant" for chat in chats)


def test_training_rows_are_as_various_as_a_mask_must_bear():
    rows = [row["messages"] for row in lines("training_rows.jsonl")]
    text = json.dumps(rows, ensure_ascii=False)
    turns = {sum(message["role"] == "assistant" for message in row) for row in rows}
    assert {1, 2, 3} <= turns
    assert {row[0]["role"] for row in rows} == {"system", "user"}
    assert is_chinese(text)
    assert "```python" in text
    assert "😊" in text
    assert all(message["content"] == message["content"].strip() for row in rows for message in row)
