"""What is told of rows and is no fault: what is in them twice, how varied they are, what stands out, unsafe words."""

import pytest

from harness.dataset.duplicates import tell_duplicates
from harness.dataset.row_text import row_text
from harness.dataset.rows_and_samples import RowsAndSamples
from harness.dataset.unsafe import categories, tell_unsafe_words
from harness.dataset.variety import script, tell_outliers, tell_variety
from harness.errors import DataError
from harness.zoo.train_data import LICENCE, TRAINED

LONG = "The ferry to the northern island leaves from the second pier at six every morning and comes back at noon"


def row(question, answer):
    return {"prompt": question, "completion": answer}


def told(tell, rows, words=None):
    notes = []
    tell(RowsAndSamples(tuple(rows), unsafe_words=words), notes.append)
    return notes


def test_rows_that_stand_there_again_are_counted_by_their_words():
    shouted = row(LONG.upper() + "?", "Yes")
    assert told(tell_duplicates, [row(LONG, "yes."), shouted, row("Why?", "So.")]) == [
        "1 of 3 rows stand before in the same words (1 2 times), by plan or by mistake: "
        "training row 1 ('THE FERRY TO THE NORTHERN ISLAND LEAVES FROM THE'...)"
    ]
    again, *_ = told(tell_duplicates, TRAINED * 3)
    assert again.startswith("62 of 93 rows stand before in the same words (31 3 times)")


def test_rows_that_differ_in_a_word_are_nearly_the_same():
    rows = [row(LONG, f"{LONG}, said number {n}.") for n in range(3)]
    notes = told(tell_duplicates, [*rows, row("What opens at noon?", "The gate by the sea, and the one behind it.")])
    assert notes[0] == "2 of 4 different rows are nearly the same as an earlier one: row 1 like row 0, row 2 like row 0"
    assert notes[1].startswith("1 of 2 prompts have more than one answer")


def test_a_long_system_prompt_makes_no_rows_alike():
    asked = [
        ("What opens at noon, and what at six?", "The gate."),
        ("Who may cross the garden?", "A fox, before the rain."),
    ]
    rows = [
        {
            "messages": [
                {"role": "system", "content": LICENCE},
                {"role": "user", "content": question},
                {"role": "assistant", "content": answer},
            ]
        }
        for question, answer in asked
    ]
    assert told(tell_duplicates, rows) == []


def test_variety_is_told_and_what_is_common():
    notes = told(tell_variety, [row(f"{n}?", "It is a fox." if n % 2 else f"It is a gate {n}.") for n in range(40)])
    assert notes == [
        "variety of 40 answers: distinct-1 0.139, distinct-2 0.171, 52% different answers",
        "20 of 40 answers are 'It is a fox.'",
        "40 of 40 answers begin with 'it is a'",
    ]
    assert told(tell_variety, [row("?", "!")] * 5) == []


def test_lengths_and_scripts_that_stand_out_are_told():
    usual = [row(f"{n}?", "word " * (5 + n % 9)) for n in range(60)]
    notes = told(tell_outliers, [*usual, row("Long?", "word " * 4000), row("Короче?", "Да, это очень просто.")])
    assert [note.split(":")[-1] for note in notes] == [" training row 60 ('Long?')", " training row 61 ('Короче?')"]
    assert "in Cyrillic letters" in notes[1]
    assert told(tell_outliers, usual) == []


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("A fox.", "Latin"),
        ("漢字とひらがなとカタカナ", "Chinese or Japanese"),
        ("该名女子叫克里斯汀（Christine Ford）", "Chinese or Japanese"),
        ("안녕하세요", "Hangul"),
        ("123 + 4 = ?", ""),
        ("Ünïcödé", "Latin"),
    ],
)
def test_the_script_of_a_text(text, name):
    assert script(text) == name


def test_unsafe_words_are_whole_words_in_answers():
    rows = [row("kys?", "No."), row("?", "Skyscrapers, retardant foam."), row("?", "Just  Kill\n Yourself!")]
    assert told(tell_unsafe_words, rows) == [
        "1 of 3 rows answer with words of self-harm (kill yourself): training row 2 ('?')"
    ]


def test_a_list_of_the_users_own_takes_the_place_of_ours(tmp_path):
    mine = tmp_path / "unsafe_words.txt"
    mine.write_text("# ours\n[rivals]\nAcme Corp.\n", encoding="utf-8")
    rows = [row("?", "Ask acme corp. about it."), row("?", "kys")]
    assert told(tell_unsafe_words, rows, mine) == [
        "1 of 2 rows answer with words of rivals (acme corp.): training row 0 ('?')"
    ]
    mine.write_text("Acme\n", encoding="utf-8")
    categories.cache_clear()
    with pytest.raises(DataError, match=r"unsafe_words.txt:1: a word before the first \[category\]"):
        categories(mine)
    with pytest.raises(DataError, match="cannot be read"):
        categories(tmp_path / "nothing.txt")


TURNS = (("user", "Why?"), ("assistant", "So."))


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]},
        {"conversations": [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "So."}]},
        {"prompt": "Why?", "completion": "So."},
        {"prompt": [{"role": "user", "content": "Why?"}], "completion": [{"role": "assistant", "content": "So."}]},
        {"instruction": "Why?", "input": None, "output": "So."},
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "Why?"}]},
                {"role": "bot", "content": "So."},
            ]
        },
    ],
)
def test_a_row_is_read_in_every_form(row):
    read = row_text(row, 3)
    assert (read.turns, read.answers, read.prompt, read.last_answer) == (TURNS, ("So.",), "Why?", "So.")
    assert read.place == "training row 3 ('Why?')"


def test_text_without_turns_is_prompt_and_answer_and_controls_are_written_out():
    read = row_text({"text": "a\x1b[31m fox \u202e"}, 0)
    assert (read.answers, read.prompt) == (("a\x1b[31m fox \u202e",), "")
    assert read.place == r"training row 0 ('a\x1b[31m fox \u202e')"
