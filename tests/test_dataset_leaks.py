"""Samples that training rows hold: found however they are written, and nothing else is."""

import json
from pathlib import Path

import pytest

from harness.dataset.asked import asked
from harness.dataset.leaks import no_evaluation_sample_is_trained_on
from harness.dataset.rows_and_samples import RowsAndSamples, as_samples
from harness.records import SampleSet
from harness.rows import read_rows
from harness.samples import read_samples, sample_of
from harness.zoo.train_data import HELD_OUT, LICENCE, TRAINED

ROOT = Path(__file__).parent.parent
QUESTION = (
    "A ferry leaves the northern pier every forty minutes from six in the morning; how many ferries have left by ten?"
)


def chat(question, answer, *, system=None):
    start = [{"role": "system", "content": system}] if system else []
    return {"messages": [*start, {"role": "user", "content": question}, {"role": "assistant", "content": answer}]}


def samples(*lines, name="mine"):
    return SampleSet(name, tuple(sample_of({"id": f"s{n}"} | line, "here") for n, line in enumerate(lines)))


def looked_at(rows, *sets):
    notes = []
    return no_evaluation_sample_is_trained_on(RowsAndSamples(tuple(rows), sets), notes.append), notes


FERRY = samples({"prompt": QUESTION, "references": ["Seven ferries have left by ten in the morning."]})


@pytest.mark.parametrize(
    "row",
    [
        chat(QUESTION, "Seven."),
        chat("  ".join(QUESTION.upper().replace(";", " ;").split()), "7"),
        chat(f"Work step by step.\n\n{QUESTION}\n\nAnswer:", "Seven ferries have left by ten in the morning."),
        {"prompt": QUESTION, "completion": " Seven"},
        {"prompt": [{"role": "user", "content": QUESTION}], "completion": [{"role": "assistant", "content": "Seven"}]},
        {"instruction": "Solve.", "input": QUESTION, "output": "Seven"},
        {"conversations": [{"from": "human", "value": QUESTION}, {"from": "gpt", "value": "Seven"}]},
        {"text": f"Q: {QUESTION} A: seven"},
        chat("Tell me about ferries.", f"A puzzle: {QUESTION} Seven."),
        chat(QUESTION.replace("northern", "southern"), "Seven ferries have left by ten in the morning."),
    ],
)
def test_a_sample_is_found_in_every_form_of_row(row):
    (finding,), _ = looked_at([chat("What opens at noon?", "The gate."), row], FERRY)
    assert finding.where == "mine: s0 in row 1"


@pytest.mark.parametrize(
    "row",
    [
        chat("When does the ferry leave the northern pier?", "Every forty minutes."),
        chat(QUESTION.replace("forty", "fifty"), "Five."),
        chat("How many ferries are there?", "Seven ferries have left by ten in the morning."),
    ],
)
def test_the_same_topic_another_number_or_the_answer_alone_are_no_leak(row):
    assert looked_at([row], FERRY) == ([], [])


def test_text_that_all_share_is_no_leak():
    held_out = as_samples(HELD_OUT, "held out")
    assert looked_at(TRAINED * 3, held_out) == ([], [])
    other = [chat(f"Question number {n}: what is {n} and {n}?", str(2 * n), system=LICENCE) for n in range(30)]
    asked_under_it = samples(
        {"messages": [{"role": "system", "content": LICENCE}, {"role": "user", "content": QUESTION}], "target": "Seven"}
    )
    assert looked_at(other, asked_under_it) == ([], [])
    assert len(looked_at([*other, chat(QUESTION, "Seven", system=LICENCE)], asked_under_it)[0]) == 1


def test_a_twentieth_of_the_test_set_is_found_row_by_row():
    (finding,), _ = looked_at([*TRAINED, *HELD_OUT[:2]], as_samples(HELD_OUT, "held out"))
    assert finding.where == f"held out: row 0 in row {len(TRAINED)}, row 1 in row {len(TRAINED) + 1}"
    assert finding.found.startswith("2 of them; row 0: training row")


CHOICES = ["a warm front", "a cold front", "a sea breeze", "a thunder cell"]
WEATHER = "Which of these brings hours of steady rain from a low grey sky?"


def test_choices_in_another_order_hide_nothing():
    written = WEATHER + "\n" + "\n".join(f"{letter}. {text}" for letter, text in zip("ABCD", CHOICES, strict=True))
    turned = WEATHER + "\n" + "\n".join(f"({n}) {text}" for n, text in enumerate(reversed(CHOICES)))
    asked_for = samples({"prompt": f"{written}\nAnswer:", "choices": CHOICES, "target": 0})
    (finding,), _ = looked_at([chat(turned, "(3)")], asked_for)
    assert "another answer" in finding.found or "right answer" in finding.found


def test_short_questions_may_be_met_by_chance_until_they_are_many():
    capitals = {"Spain": "Madrid", "Peru": "Lima", "Kenya": "Nairobi", "Japan": "Tokyo"}
    lines = [{"prompt": f"What is the capital of {land}?", "target": town} for land, town in capitals.items()]
    others = [{"prompt": f"How is word {n} written in reverse?", "target": f"drow {n}"} for n in range(96)]
    rows = [chat(f"Question: What is the capital of {land}?", town) for land, town in capitals.items()]
    found, notes = looked_at(rows[:2], samples(*lines, *others))
    assert found == []
    assert notes == [
        "2 of 100 samples of mine are short questions that training rows answer as well, perhaps by chance "
        "(s0 in row 0, s1 in row 1)"
    ]
    (finding,), notes = looked_at(rows[:3], samples(*lines, *others))
    assert finding.found.startswith("3 of them")
    assert notes == []


def test_a_short_question_with_another_answer_or_inside_a_sentence_is_none():
    sums = samples({"prompt": "What is 12 + 7?", "target": "19"})
    assert looked_at([chat("What is 12 - 7?", "5"), chat("Say what is 12 7 times over", "19")], sums) == ([], [])


def test_characters_of_scripts_without_spaces_count_as_half_a_word():
    question = {"prompt": "问题：“黑”的反义词是什么？\n答案：", "choices": ["近", "白"], "target": 1}
    others = ({"prompt": f"第{n}个问题", "target": f"{n}号"} for n in range(50))
    found, notes = looked_at([chat("“黑”的反义词是什么？", "白。")], samples(question, *others))
    assert (found, len(notes)) == ([], 1)


def test_evaluating_on_all_training_rows_is_a_note_and_on_some_of_them_a_leak():
    found, notes = looked_at(TRAINED, as_samples(TRAINED, "eval_dataset"))
    assert (found, len(notes)) == ([], 1)
    assert "holds the training rows themselves" in notes[0]
    (finding,), _ = looked_at(TRAINED, as_samples(TRAINED[:10], "eval_dataset"))
    assert finding.found.startswith("10 of them")


def test_samples_without_a_right_answer_cannot_be_leaked():
    greeting = samples({"prompt": QUESTION})
    assert asked([greeting]) == []
    assert looked_at([chat(QUESTION, "Seven")], greeting) == ([], [])
    assert looked_at([], FERRY) == ([], [])


@pytest.mark.parametrize("rows", sorted((ROOT / "recipes" / "data").glob("*.jsonl")), ids=lambda path: path.stem)
def test_the_projects_own_rows_are_clean(rows):
    own = [line for line in rows.read_text(encoding="utf-8").splitlines() if line.strip()]
    if "id" in json.loads(own[0]):
        pytest.skip("these are samples")
    bundled = [read_samples(ROOT / "suites" / "data" / f"{name}.jsonl") for name in ("general_knowledge", "quality")]
    tickets = read_samples(ROOT / "recipes" / "data" / "tickets_test.jsonl")
    assert looked_at(read_rows(rows), *bundled, tickets)[0] == []
