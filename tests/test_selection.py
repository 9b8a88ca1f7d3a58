"""A teacher's best answers as training rows: what is kept, what never is, where it is from, and what a kill leaves."""

import json
from collections import Counter

import pytest

from harness.__main__ import main
from harness.errors import DataError, UsageError
from harness.models import Completion
from harness.models.local import LocalModel
from harness.records import Sample
from harness.rows import read_rows
from harness.selection.choosing import choose, gain
from harness.selection.prompts import read_prompts
from harness.selection.scoring import RULES, Against, Scored, Scoring, Unusable

PROMPTS = [
    {"id": "spain", "prompt": "What is the capital of Spain?", "references": ["The capital of Spain is Madrid."]},
    {"id": "peru", "prompt": "What is the capital of Peru?", "references": ["The capital of Peru is Lima."]},
    {"id": "norway", "prompt": "What is the capital of Norway?", "references": ["The capital of Norway is Oslo."]},
]
SAMPLE = Sample("one", "?", ({"role": "user", "content": "?"},), "digest", references=("yes",))


@pytest.fixture
def place(tmp_path):
    write(tmp_path / "prompts.jsonl", PROMPTS)
    return tmp_path


def write(path, lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def select(place, *options, prompts="prompts.jsonl", output="rows.jsonl"):
    asked = ["select", "--teacher", "demo:tuned", "--prompts", str(place / prompts), "--output", str(place / output)]
    return main([*asked, "--max-new-tokens", "32", "--batch-size", "2", "--cache-dir", str(place), *options])


def written(place, output="rows.jsonl"):
    return [json.loads(line) for line in (place / output).read_text(encoding="utf-8").splitlines()]


def answer(text, finish="terminator"):
    return Completion(text, text, (5, 6, 2), finish)


def scored(answers, against=Against.REFERENCES, metric="exact_match"):
    return Scoring(RULES[metric], against, {7: "<|im_end|>"}).scored(SAMPLE, answers)


def test_rows_hold_the_answer_and_where_it_is_from(place, capsys):
    assert select(place, "--metric", "exact_match") == 0
    rows = written(place)
    assert [row["provenance"]["prompt_id"] for row in rows] == ["spain", "peru", "norway"]
    assert rows[0]["messages"] == [
        {"role": "user", "content": PROMPTS[0]["prompt"]},
        {"role": "assistant", "content": PROMPTS[0]["references"][0]},
    ]
    told = rows[0]["provenance"]
    assert (told["teacher"], told["k"], told["score"], told["prompts"]) == ("demo:tuned", 4, 1.0, "prompts.jsonl")
    assert told["sampling"] == {"temperature": 0.8, "top_p": 0.95, "max_new_tokens": 32, "seed": 0}
    assert told["scored"].startswith("metric:exact_match|against:references|level:answer|")
    assert told["digests"].keys() == {"weights", "tokenizer", "template"}
    said = capsys.readouterr().out
    assert "gained   mean exact_match against references" in said
    assert not list(place.glob("*.unfinished"))


def test_rows_are_read_by_the_package_and_by_trl(place, tmp_path):
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    from harness.demo import folder
    from harness.training.recipe import old_names_between_libraries

    select(place)
    plain = read_rows(place / "rows.jsonl")
    assert [set(row) for row in plain] == [{"messages"}] * 3
    with old_names_between_libraries():
        trainer = SFTTrainer(
            model=AutoModelForCausalLM.from_pretrained(folder("tuned")),
            args=SFTConfig(str(tmp_path / "run"), report_to="none", use_cpu=True, bf16=False, disable_tqdm=True),
            train_dataset=Dataset.from_list(written(place)),
            processing_class=AutoTokenizer.from_pretrained(folder("tuned")),
        )
    assert next(iter(trainer.get_train_dataloader())).keys() >= {"input_ids", "labels"}


def test_what_was_interrupted_goes_on_without_asking_again(place, monkeypatch):
    assert select(place, output="whole.jsonl") == 0
    asked = []
    plain = LocalModel._decode

    def interrupted(self, prompts, *rest, choose, copies):
        asked.append(len(prompts))
        answered = Counter()
        for number, answer in plain(self, prompts, *rest, choose=choose, copies=copies):
            yield number, answer
            answered[number // copies] += 1
            if len(asked) == 1 and max(answered.values()) == copies:
                raise KeyboardInterrupt

    monkeypatch.setattr(LocalModel, "_decode", interrupted)
    assert select(place) == 130
    journal = place / "rows.jsonl.unfinished" / "answers.jsonl"
    with journal.open("ab") as stream:  # a kill in the middle of the next line
        stream.write(b'{"peru": [{"text": "The cap')
    assert not (place / "rows.jsonl").exists()
    assert select(place) == 0
    assert asked == [3, 2]
    assert (place / "rows.jsonl").read_bytes() == (place / "whole.jsonl").read_bytes()


def test_an_interrupted_run_of_something_else_is_not_mixed_in(place, monkeypatch, capsys):
    monkeypatch.setattr("harness.selection.select._write", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    assert select(place) == 130
    monkeypatch.undo()
    assert select(place, "--temperature", "0.5") == 2
    assert "the answers of an interrupted run with another sampling are kept here" in capsys.readouterr().err
    assert select(place, "--metric", "rougeL") == 0  # another score of the same answers


def test_rows_that_are_there_are_not_overwritten(place, capsys):
    (place / "rows.jsonl").write_text("mine", encoding="utf-8")
    assert select(place) == 2
    assert "is there already" in capsys.readouterr().err
    assert (place / "rows.jsonl").read_text(encoding="utf-8") == "mine"


def test_a_full_disk_is_one_sentence_and_leaves_nothing_half_written(place, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("harness.selection.select.os.replace", full)
    assert select(place) == 2
    assert "No space left on device" in capsys.readouterr().err
    monkeypatch.undo()
    assert not (place / "rows.jsonl").exists()
    monkeypatch.setattr(LocalModel, "_decode", lambda *_, **__: pytest.fail("asked again"))
    assert select(place) == 0


def test_a_bar_that_nothing_reaches_is_told_and_writes_nothing(place, capsys):
    assert select(place, "--min-score", "101") == 1
    assert "no answer reaches --min-score 101" in " ".join(capsys.readouterr().err.split())
    assert not (place / "rows.jsonl").exists()


def test_answers_to_bare_prompts_are_held_against_each_other(place):
    write(place / "bare.jsonl", [{"id": line["id"], "prompt": line["prompt"]} for line in PROMPTS])
    assert select(place, prompts="bare.jsonl") == 0
    assert all("|against:answers|" in row["provenance"]["scored"] for row in written(place))
    assert select(place, "--k", "1", prompts="bare.jsonl", output="one.jsonl") == 0
    assert [row["provenance"]["score"] for row in written(place, "one.jsonl")] == [None] * 3


def test_training_rows_are_prompts_with_their_last_answer_as_reference(place):
    turns = [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Hello!"}]
    more = [{"role": "user", "content": "And?"}, {"role": "assistant", "content": "Nothing."}]
    path = write(place / "trained.jsonl", [{"messages": turns}, {"messages": turns + more}])
    prompts = list(read_prompts(path))
    assert [sample.id for sample in prompts] == ["line-1", "line-2"]
    assert prompts[1].messages == (*turns, more[0])
    assert prompts[1].references == ("Nothing.",)
    alpaca = write(place / "alpaca.jsonl", [{"instruction": "Add.", "input": "1 1", "output": "2"}])
    assert next(iter(read_prompts(alpaca))).references == ("2",)


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        ([PROMPTS[0], {"id": "bare", "prompt": "?"}], "1 of 2 prompts have no references (first: 'bare')"),
        ([{"id": "c", "prompt": "?", "choices": ["a", "b"], "target": 0}], "is multiple choice"),
        ([{"prompt": "Say", "completion": "it"}], ":1: the row is plain text"),
        ([{"messages": [{"role": "assistant", "content": "Hi"}]}], ":1: nothing comes before the answer"),
        ([{"id": "x"}], ":1: the sample has neither prompt nor messages"),
        ([], "holds no sample"),
    ],
)
def test_prompts_that_cannot_be_asked_are_named(tmp_path, lines, sentence):
    with pytest.raises(DataError) as error:
        read_prompts(write(tmp_path / "prompts.jsonl", lines))
    assert sentence in str(error.value)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--k", "0"], "--k 0"),
        (["--metric", "accuracy"], "answers are scored by bleu, chrf"),
        (["--temperature", "0"], "temperature is 0.0"),
        (["--k", "1", "--against", "answers"], "give --k 2 or more"),
        (["--limit", "0"], "--limit 0"),
        (["--teacher", "nowhere/"], "nowhere/"),
        (["--max-new-tokens", "100000"], "leaves no room for 100000 new ones"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_leaves_nothing(place, capsys, options, sentence):
    assert select(place, *options) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert sentence in said
    assert "Traceback" not in said
    assert sorted(path.name for path in place.iterdir()) == ["prompts.jsonl"]


def test_unfinished_empty_and_leaking_answers_are_never_kept():
    answers = [answer("yes", "length"), answer("  "), answer("yes <|im_end|> more"), answer("no")]
    given = scored(answers, metric="chrf")
    assert [one.unusable for one in given] == [Unusable.UNFINISHED, Unusable.EMPTY, Unusable.CONTROL, None]
    assert choose(SAMPLE, given, None).best is None  # "no" has nothing of "yes" in it


def test_the_first_of_equals_is_kept_and_no_wrong_answer_is():
    given = scored([answer("no"), answer("yes"), answer("yes")])
    assert choose(SAMPLE, given, None).best == 1
    assert choose(SAMPLE, scored([answer("no"), answer("perhaps")]), None).best is None


def test_without_references_the_majority_wins_and_cut_answers_have_no_vote():
    given = scored([answer("b"), answer("a"), answer("a"), *[answer("b", "length")] * 5], Against.ANSWERS)
    assert [one.score for one in given[:3]] == [0.0, 0.5, 0.5]
    assert choose(SAMPLE, given, None).best == 1
    alone = scored([answer("a"), answer("a", "length")], Against.ANSWERS)
    assert choose(SAMPLE, alone, None).best is None


def test_the_gain_is_paired_over_prompts_whose_first_answer_could_be_kept():
    def choice(*scores):
        return choose(SAMPLE, [Scored("x", None if score else Unusable.EMPTY, score) for score in scores], None)

    gained = gain([choice(0.5, 1.0), choice(1.0, 0.2), choice(None, 0.9)])
    assert (gained.n, gained.first, gained.kept) == (2, 0.75, 1.0)
    assert 0 <= gained.low < 0.25 < gained.high
    assert gain([choice(None, None)]) is None


def test_a_file_held_by_another_run_is_told(place, capsys):
    from filelock import FileLock

    (place / "rows.jsonl.unfinished").mkdir()
    with FileLock(place / "rows.jsonl.unfinished" / "lock"):
        assert select(place) == 2
    assert "another run is writing here" in capsys.readouterr().err


def test_values_are_checked_before_anything_is_read(tmp_path):
    from harness.selection.select import Wanted

    with pytest.raises(UsageError, match="one answer at least"):
        Wanted(tmp_path / "none", tmp_path / "rows", k=0)
