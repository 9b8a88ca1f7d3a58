"""What is said of answers: empty, repeating, cut off, half JSON, wrongly decoded. Each beside what is legitimate."""

import json

import pytest

from harness.dataset.answers import answers_do_not_repeat_their_prompts, no_answer_is_empty
from harness.dataset.cut_off import answers_are_not_cut_off
from harness.dataset.encoding import text_is_decoded_as_it_was_written
from harness.dataset.formats import answers_in_one_format_are_whole
from harness.dataset.rows_and_samples import RowsAndSamples

HERBS = ["basil", "thyme", "sage", "mint", "dill", "chervil", "lovage", "borage", "savory", "tarragon"]
PLACES = ["on the sill", "by the wall", "in the bed", "near the pond", "under glass", "at the gate"]


def rows(*answers, question="What should I do with it, number {}?"):
    return tuple(
        {"prompt": [{"role": "user", "content": question.format(n)}], "completion": [answer]}
        for n, answer in enumerate({"role": "assistant", "content": text} for text in answers)
    )


def looked_at(check, given):
    notes = []
    return check(RowsAndSamples(tuple(given)), notes.append), notes


def care(n):
    """Advice of one to four sentences."""
    herb, place = HERBS[n % 10], PLACES[n % 6]
    sentences = [
        f"Put the {herb} {place} and water it in the morning.",
        f"It is a plant of the warm hills, and the soil of the pot should be sand and leaf mould {n} fingers deep.",
        f"In the first week of the autumn cut the stems of the {herb} and hang them in the shade of the barn.",
        "The seeds of the best of the plants are kept in a jar, and the rest may go to the birds of the garden.",
    ]
    return " ".join(sentences[: 1 + n % 4])


ADVICE = [care(n) for n in range(200)]


def test_advice_that_ends_is_not_cut_off():
    assert looked_at(answers_are_not_cut_off, rows(*ADVICE)) == ([], [])


def test_answers_cut_at_a_number_of_tokens_break_off_where_they_are_long():
    cut = [" ".join(text.split()[: 44 + n // 4 % 13]) for n, text in enumerate(ADVICE)]
    (finding,), _ = looked_at(answers_are_not_cut_off, rows(*cut))
    assert "of the 50 longest answers break off" in finding.found
    assert "max_new_tokens" in finding.remedy


def test_answers_cut_at_a_number_of_characters_pile_up_there():
    (finding,), _ = looked_at(answers_are_not_cut_off, rows(*(text[:170] for text in ADVICE)))
    assert "longest answers break off" in finding.found or "have exactly 170 characters" in finding.found
    numbers = [f"{n} " * 50 + "done." if n % 3 else f"{n}" * 400 for n in range(10, 99)]
    (finding,), _ = looked_at(answers_are_not_cut_off, rows(*(text[:181] for text in numbers)))
    assert "have exactly 181 characters and none has more" in finding.found


@pytest.mark.parametrize(
    "answers",
    [
        ["0110" * 32] * 30,  # hashes of one length
        [f"{n:03} " * 25 + "x." for n in range(100)],  # one length, and all end
        [text.rstrip(".") for text in ADVICE],  # nobody writes a full stop
        [f"- {herb}\n- {place}" for herb in HERBS for place in PLACES],
        [f"def plant_{n}():\n    return [{n}]" for n in range(60)],
        ["好的，我明白了。" * (1 + n % 5) for n in range(60)],
    ],
)
def test_answers_with_an_end_of_their_own_are_not_cut_off(answers):
    assert looked_at(answers_are_not_cut_off, rows(*answers))[0] == []


def test_a_few_that_break_off_are_a_note_and_texts_without_turns_are_none():
    found, (said,) = looked_at(answers_are_not_cut_off, rows(*ADVICE, "Take the basil,", "```python\nprint(1)"))
    assert found == []
    assert said.startswith("2 of 202 answers may break off: training row 200")
    chunks = [{"text": text[:100]} for text in ADVICE]
    assert looked_at(answers_are_not_cut_off, chunks) == ([], [])


@pytest.mark.parametrize("empty", ["", " \n", "\u200b\ufeff"])
def test_an_answer_without_anything_to_see_is_empty(empty):
    (finding,), _ = looked_at(no_answer_is_empty, rows("Yes.", empty))
    assert finding.where.startswith("training row 1 ('What should I do")


def test_calls_of_tools_and_signs_are_answers():
    call = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": {}}}]}
    given = ({"messages": [{"role": "user", "content": "Go."}, call]}, *rows("7", "?", "🙂"))
    assert looked_at(no_answer_is_empty, given) == ([], [])


def test_answers_that_hold_their_prompts_are_found_where_they_are_many():
    repeating = [{"prompt": f"Q{n}: why?", "completion": f"Q{n}: why?\nBecause {n}."} for n in range(12)]
    (finding,), _ = looked_at(answers_do_not_repeat_their_prompts, repeating)
    assert finding.found.startswith("12 of 12 answers begin with the whole prompt")
    others = list(rows(*ADVICE[:13]))
    found, (said,) = looked_at(answers_do_not_repeat_their_prompts, [*repeating, *others])
    assert found == []
    assert said.startswith("12 of 25 answers")
    echo = [{"prompt": text, "completion": text} for text in ADVICE[:30]]  # a corrector that has nothing to correct
    assert looked_at(answers_do_not_repeat_their_prompts, echo) == ([], [])


RECORDS = [json.dumps({"plant": herb, "place": place}) for herb in HERBS for place in PLACES]


def test_one_broken_record_among_json_is_found():
    (finding,), _ = looked_at(answers_in_one_format_are_whole, rows(*RECORDS, '{"plant": "rue", "place": '))
    assert finding.where == "training row 60 ('What should I do with it, number 60?')"


@pytest.mark.parametrize(
    "answers",
    [
        RECORDS,
        [*RECORDS, '{"a": 1}\n{"b": 2}'],
        [*ADVICE, *RECORDS[:20], "{% if plant %}", "[Your name]"],
        ["{1, 2, 3}"] * 30,
        [f"<p>{text}" for text in ADVICE[:30]],
    ],
)
def test_json_among_other_answers_and_other_braces_are_no_format(answers):
    assert looked_at(answers_in_one_format_are_whole, rows(*answers))[0] == []


def test_a_refusal_among_records_is_a_note():
    found, notes = looked_at(answers_in_one_format_are_whole, rows(*RECORDS, "There is no plant in this text."))
    assert found == []
    assert "60 of 61 answers are JSON and 1 are not" in notes[-1]


def test_a_tag_that_opens_answers_is_closed_in_each():
    thought = [f"<think>{text}</think>\nSo {text}" for text in ADVICE[:60]]
    assert looked_at(answers_in_one_format_are_whole, rows(*thought))[0] == []
    (finding,), _ = looked_at(answers_in_one_format_are_whole, rows(*thought, "<think>I wonder. Yes."))
    assert "opens <think>" in finding.what


def test_what_nearly_all_answers_look_like_is_told():
    solved = [f"It takes {n} steps.\n#### {n}" for n in range(40)]
    found, notes = looked_at(answers_in_one_format_are_whole, rows(*solved, "It takes four."))
    assert found == []
    assert notes == [
        "40 of 41 answers end with a line that begins with '####'; the others: training row 40 "
        "('What should I do with it, number 40?')"
    ]


MISREAD = "Der KÃ¤ptâ€™n ging fÃ¼r Ã¼ber drei Wochen fort."


def test_text_read_in_a_wrong_encoding_is_found():
    (finding,), _ = looked_at(text_is_decoded_as_it_was_written, rows(*ADVICE[:97], *[MISREAD] * 3))
    assert "wrong encoding" in finding.what
    found, (said,) = looked_at(text_is_decoded_as_it_was_written, rows(*ADVICE[:97], MISREAD))
    assert found == []
    assert said.startswith("1 of 98 rows hold text that was read in a wrong encoding")


@pytest.mark.parametrize(("held", "what"), [("\ufffd", "U+FFFD"), ("\x1b[31m", "control"), ("\ud83d", "half")])
def test_characters_that_are_lost_or_no_text_are_found(held, what):
    (finding,), _ = looked_at(text_is_decoded_as_it_was_written, rows(*ADVICE[:20], *[f"Well{held} yes."] * 3))
    assert what in finding.what
    asked = rows(*ADVICE[:20], question=f"{held} {{}}")
    found, notes = looked_at(text_is_decoded_as_it_was_written, asked)  # in prompts alone: nobody learns to write it
    assert (found, len(notes)) == ([], 1)
    assert notes[0].isprintable()


@pytest.mark.parametrize(
    "answer",
    [
        "Grüße aus Köln, für alle!",
        "你好，世界。",
        "مرحبا بالعالم",
        "naïve café — “so”",
        "🙂\ttab\r\n",
        "Ça coûte 5 € à Malmö.",
    ],
)
def test_writing_of_any_script_is_well_decoded(answer):
    assert looked_at(text_is_decoded_as_it_was_written, rows(*[answer] * 30)) == ([], [])


def test_characters_written_as_in_html_are_told_where_there_is_no_html():
    found, (said,) = looked_at(text_is_decoded_as_it_was_written, rows("Fish &amp; chips", "<b>a &amp; b</b>", "a & b"))
    assert found == []
    assert said.startswith("1 of 3 rows write characters as HTML does")
