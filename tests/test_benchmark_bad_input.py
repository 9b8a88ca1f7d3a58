"""What is wrong with a benchmark's files is one sentence that names the row; the suites' case, run as users do."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import partial

import pytest

from benchmark_files import OWN, own_rows, without, write_csv, write_jsonl
from fake_model import FakeModel
from harness.benchmarks.asking import benchmark_samples
from harness.benchmarks.catalogue import BENCHMARKS, benchmark_called
from harness.benchmarks.local import folder_rows
from harness.errors import DataError, InvalidRunError, UsageError
from harness.gate import margin_for
from harness.metrics.general import SCORED, measure_of


def read(folder, name, **changes):
    benchmark = replace(benchmark_called(name), **changes)
    return benchmark_samples(benchmark, partial(folder_rows, folder, benchmark))


def rows(name, split="test", **changed):
    """The rows of a split, the third of them changed."""
    made = own_rows(name)[split]
    return [*made[:2], {**made[2], **changed}, *made[3:]]


def refused(folder, name, **changes):
    with pytest.raises((DataError, UsageError, InvalidRunError)) as raised:
        read(folder, name, **changes)
    sentence = str(raised.value)
    assert "\n" not in sentence
    return sentence.replace(str(folder), "DIR")


def choices(*texts):
    return {"text": list(texts), "label": ["A", "B", "C", "D"][: len(texts)]}


@pytest.mark.parametrize(
    ("name", "changed", "sentence"),
    [
        ("arc_easy", {"choices": choices("a"), "answerKey": "A"}, "has 1 choice, and at least two are needed"),
        ("arc_easy", {"choices": choices("a", "", "c", "d"), "answerKey": "A"}, "choice 1 (from 0) is empty"),
        ("arc_easy", {"answerKey": "E"}, "answerKey is 'E', which is none of the labels"),
        ("arc_easy", {"answerKey": ""}, "answerKey is '', which is none of the labels"),
        ("arc_easy", {"answerKey": None}, "needs question choices answerKey, or "),
        ("arc_easy", {"choices": "a or b"}, "choices is 'a or b', choices with text and label are expected"),
        ("arc_easy", {"choices": {"text": ["a", "b"], "label": ["A"]}}, "choices has 2 texts and 1 labels"),
        (
            "arc_easy",
            {"choices": {"text": ["a", "b", "c"], "label": ["A", "B", "B"]}, "answerKey": "B"},
            "choices has the labels A, B, B, each may be there once",
        ),
        ("arc_easy", {"question": 7}, "question is '7', a text is expected"),
        ("arc_easy", {"question": {"stem": "x"}, "choices": None}, "question is expected to hold stem and choices"),
        ("arc_easy", {"id": "q0"}, "id 'q0' was used before, at DIR/arc_easy/rows.jsonl:1"),
        ("openbookqa", {"choices": choices("a", "b"), "answerKey": "C"}, "answerKey is 'C', which is none of"),
        ("piqa", {"label": 2}, "the right choice is 2, outside the 2 that count from 0"),
        ("piqa", {"label": -1}, "the right choice is -1, outside"),
        ("piqa", {"label": "left"}, "label is 'left', a whole number is expected"),
        ("hellaswag", {"label": ""}, "label is '', a whole number is expected"),
        ("hellaswag", {"endings": ["a", 3]}, "endings is \"['a', 3]\", a list of texts is expected"),
        ("winogrande", {"sentence": "no gap"}, "sentence has no gap"),
        ("winogrande", {"sentence": "The lid was lifted by _ "}, "sentence has nothing behind its gap"),
        ("winogrande", {"answer": "3"}, "answer is '3', which is none of the labels 1, 2"),
        ("copa", {"question": "why"}, "question is 'why', which is none of the labels cause, effect"),
        ("lambada_openai", {"text": "word"}, "text has no last word"),
        ("truthfulqa_mc1", {"mc1_targets": {"a": 0, "b": 1}}, "one right choice, its first"),
        ("truthfulqa_mc2", {"mc2_targets": {"a": 0, "b": 0}}, "none of the choices is right"),
        ("truthfulqa_mc2", {"mc2_targets": {"choices": ["a"], "labels": [1, 0]}}, "one label, 0 or 1, for each"),
        ("mmlu_anatomy", {"choices": ["a", "b", "c"]}, "the question has 3 choices, four are expected"),
        ("mmlu_anatomy", {"answer": 4}, "answer is '4', which is none of the labels 0, 1, 2, 3"),
    ],
)
def test_a_row_with_a_fault_is_named(name, changed, sentence, tmp_path):
    split = benchmark_called(name).split
    write_jsonl(tmp_path / name / "rows.jsonl", rows(name, split, **changed))
    said = refused(tmp_path, name, shots=0)
    assert said.startswith(f"DIR/{name}/rows.jsonl:3: ")
    assert sentence in said


def damaged(write):
    return lambda folder: write(folder / "piqa" / "valid.jsonl", folder / "piqa")


def _empty(path, home):
    path.write_text("\n\n", encoding="utf-8")


def _cut(path, home):
    path.write_text('{"goal": "a", "sol1"', encoding="utf-8")


def _other_format(path, home):
    write_jsonl(path, [{"instruction": "Sing.", "output": "La."}])


def _unlabelled(path, home):
    write_jsonl(path, [without(row, "label") for row in own_rows("piqa")["validation"]])


def _short_labels(path, home):
    _unlabelled(path, home)
    (home / "valid-labels.lst").write_text("0\n1\n", encoding="utf-8")


def _binary_labels(path, home):
    _unlabelled(path, home)
    (home / "valid-labels.lst").write_bytes(b"\xff\n" * 12)


def _only_train(path, home):
    write_jsonl(home / "train.jsonl", own_rows("piqa")["train"])


def _two_of_them(path, home):
    for name in ("one", "two"):
        write_jsonl(home / name / "valid.jsonl", own_rows("piqa")["validation"])


def _no_parquet(path, home):
    (home / "validation.parquet").write_bytes(b"PAR1 and nothing else")


def _no_arrow(path, home):
    (home / "validation.arrow").write_bytes(b"\x00" * 64)


def _no_json(path, home):
    (home / "valid.json").write_text('[{"goal": 1},', encoding="utf-8")


def _list_of_texts(path, home):
    (home / "valid.json").write_text('["a"]', encoding="utf-8")


def _wide_csv(path, home):
    (home / "valid.csv").write_text("goal,sol1,sol2,label\na,b,c,0\na,b,c,0,1\n", encoding="utf-8")


def _latin_csv(path, home):
    (home / "valid.csv").write_bytes(b"goal,sol1,sol2,label\ncaf\xe9,b,c,0\n")


def _half_of_the_shards(path, home):
    write_jsonl(home / "validation-00000-of-00002.jsonl", own_rows("piqa")["validation"])


def _shards_and_the_whole(path, home):
    write_jsonl(home / "validation.jsonl", own_rows("piqa")["validation"])
    write_jsonl(home / "validation-00000-of-00001.jsonl", own_rows("piqa")["validation"])


def _folder_for_file(path, home):
    (home / "valid.jsonl").mkdir()


@pytest.mark.parametrize(
    ("write", "sentence"),
    [
        (_empty, "DIR/piqa/valid.jsonl: holds no row"),
        (_cut, "DIR/piqa/valid.jsonl:1: not valid JSON at column"),
        (
            _other_format,
            "DIR/piqa/valid.jsonl:1: has the fields instruction output; piqa needs goal sol1 sol2 label, or",
        ),
        (_unlabelled, "DIR/piqa/valid.jsonl:1: has the fields goal sol1 sol2; piqa needs goal sol1 sol2 label, or"),
        (_short_labels, "DIR/piqa/valid-labels.lst: has 2 labels for the 12 rows beside it"),
        (_binary_labels, "DIR/piqa/valid.jsonl:1: label is '\ufffd', a whole number is expected"),
        (_only_train, "DIR: the validation split of piqa is not there (train.jsonl and what is beside it name train)"),
        (_two_of_them, "DIR: the validation split of piqa: both DIR/piqa/one/valid.jsonl and DIR/piqa/two/valid.jsonl"),
        (_no_parquet, "DIR/piqa/validation.parquet: is damaged or no .parquet file"),
        (_no_arrow, "DIR/piqa/validation.arrow: is damaged or no .arrow file"),
        (_no_json, "DIR/piqa/valid.json: not valid JSON"),
        (_list_of_texts, "DIR/piqa/valid.json row 0: an object is expected, this is str"),
        (_wide_csv, "DIR/piqa/valid.csv:3: has 5 cells, 4 are expected"),
        (_latin_csv, "DIR/piqa/valid.csv: cannot be read as a table"),
        (
            _half_of_the_shards,
            "DIR: the validation split of piqa: DIR/piqa holds 1 parts of the table, validation-00000-",
        ),
        (
            _shards_and_the_whole,
            "DIR: the validation split of piqa: DIR/piqa holds 2 parts of the table, validation-0000",
        ),
        (_folder_for_file, "DIR: the validation split of piqa is not there"),
    ],
)
def test_a_file_with_a_fault_is_named(write, sentence, tmp_path):
    (tmp_path / "piqa").mkdir()
    write_jsonl(tmp_path / "piqa" / "train.jsonl", own_rows("piqa")["train"])
    damaged(write)(tmp_path)
    assert refused(tmp_path, "piqa").startswith(sentence)


def test_subjects_that_are_not_there_are_counted(tmp_path):
    OWN["ceval-valid_law"].write(tmp_path, own_rows("ceval-valid_law"))
    said = refused(tmp_path, "ceval-valid")
    assert "lacks 51 of 52 subjects (accountant first)" in said
    assert "such as ceval-valid_law" in said
    assert "lacks 1 of 1 subjects (logic first)" in refused(tmp_path, "ceval-valid_logic")


def test_rows_that_need_a_subject_and_tell_none_are_refused(tmp_path):
    write_csv(tmp_path / "mmlu" / "test.csv", [dict.fromkeys(["question", "A", "B", "C", "D", "answer"], "A")])
    assert refused(tmp_path, "mmlu", shots=0).startswith("DIR/mmlu/test.csv:2: neither file nor row tells the subject")


def test_shots_that_are_not_there_are_told_with_the_way_out(tmp_path):
    write_jsonl(tmp_path / "arc_easy" / "test.jsonl", own_rows("arc_easy")["test"])
    assert "the train split of arc_easy is not there" in refused(tmp_path, "arc_easy", shots=3)
    assert refused(tmp_path, "arc_easy", shots=3).endswith("Or ask without shots: --benchmarks arc_easy:0.")
    write_jsonl(tmp_path / "arc_easy" / "train.jsonl", own_rows("arc_easy")["train"][:2])
    assert "the train split of arc_easy holds 2 rows, too few to draw 3 shots" in refused(tmp_path, "arc_easy", shots=3)


def test_a_pool_of_copies_is_too_few(tmp_path):
    write_jsonl(tmp_path / "piqa" / "validation.jsonl", own_rows("piqa")["validation"][:2])
    write_jsonl(tmp_path / "piqa" / "train.jsonl", own_rows("piqa")["validation"][:1] * 5)
    assert "holds 0 rows beside an item's own copies, too few for 2 shots" in refused(tmp_path, "piqa", shots=2)


def test_names_of_fields_write_no_control_characters(tmp_path):
    write_jsonl(tmp_path / "piqa" / "validation.jsonl", [{"\x1b[2J": "a"}])
    assert "has the fields '\\x1b[2J'; piqa needs" in refused(tmp_path, "piqa")


def test_an_item_among_its_own_shots_is_a_broken_run(tmp_path):
    write_jsonl(tmp_path / "arc_easy" / "test.jsonl", own_rows("arc_easy")["test"])
    said = refused(tmp_path, "arc_easy", shots=11, shots_split="test")
    assert "stands with its answer among its own 11 shots" in said
    assert "item 0000 (DIR/arc_easy/test.jsonl:1)" in said
    others = read(tmp_path, "arc_easy", shots=11, shots_split="test", draw="random others")
    assert all(sample.prompt.count(sample.prompt.split("\n\n")[-1]) == 1 for sample in others)


def test_a_copy_of_an_item_in_another_split_is_found_on_the_prompt(tmp_path):
    test, train = own_rows("arc_easy")["test"], own_rows("arc_easy")["train"]
    write_jsonl(tmp_path / "arc_easy" / "test.jsonl", test)
    write_jsonl(tmp_path / "arc_easy" / "train.jsonl", [*train, {**test[5], "id": "copy"}])
    assert "item 0005" in refused(tmp_path, "arc_easy", shots=13)


@pytest.mark.parametrize("name", ["arc_easy", "winogrande", "truthfulqa_mc2", "lambada_openai"])
def test_likelihoods_that_are_no_numbers_make_a_broken_run(name, tmp_path):
    OWN[name].write(tmp_path, own_rows(name))
    samples = read(tmp_path, name)
    benchmark = benchmark_called(name)
    for metric in benchmark.metrics:
        measured = measure_of(benchmark, metric)(FakeModel(likelihood=lambda *_: math.nan), samples)
        assert "the log-likelihood of 12 of 12 samples is not a number (first: 0000)" in measured.problems[0]


def test_every_metric_of_every_record_has_a_function_and_a_margin():
    for benchmark in BENCHMARKS.values():
        for metric in benchmark.metrics:
            assert (benchmark.scoring, metric) in SCORED
            assert margin_for(metric, 10.0) > 0


@pytest.fixture
def project(pytester, tmp_path):
    pytester.makeconftest('pytest_plugins = ["harness.plugin"]')
    pytester.makeini("[pytest]\naddopts = -p no:cacheprovider")
    pytester.makepyfile(
        test_forgetting="""
        import pytest

        @pytest.mark.forgetting
        def test_general_ability_is_kept(model, gate, benchmark_score, benchmark_measurement):
            gate(benchmark_measurement(model, benchmark_score))
        """
    )
    for name in ("arc_easy", "lambada_openai"):
        OWN[name].write(tmp_path / "data", own_rows(name))
    return pytester


def run(project, *arguments):
    return project.runpytest_subprocess("test_forgetting.py", "--offline", "--model=demo:base", *arguments)


def test_without_benchmarks_the_case_says_what_to_type(project):
    result = run(project, "-rs")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*SKIPPED*no general benchmark is named (--benchmarks arc_easy,piqa or small)*"])


def test_benchmarks_are_gated_recorded_and_compared(project, tmp_path):
    asked = ("--benchmarks", "arc_easy:2,lambada_openai", "--benchmark-dir", str(tmp_path / "data"))
    first = run(project, *asked, "--limit", "10", "--baseline", "main", "--baseline-update")
    assert first.ret == 0
    assert "arc_easy: 12 samples of" in " ".join(first.stdout.str().split())
    stored = json.loads((project.path / "baselines" / "main" / "baseline.json").read_text(encoding="utf-8"))
    names = ["arc_easy/acc", "arc_easy/acc_norm", "lambada_openai/acc", "lambada_openai/perplexity"]
    assert sorted(stored["measurements"]) == names
    signature = stored["measurements"]["arc_easy/acc"]["signature"]
    assert signature.endswith("|task-version:1.0|shots:2|version:1")
    again = run(project, *asked, "--limit", "10", "--baseline", "main")
    assert again.ret == 0
    fewer = run(project, "--benchmarks", "arc_easy,lambada_openai", *asked[2:], "--limit", "10", "--baseline", "main")
    assert fewer.ret == 1
    fewer.stdout.fnmatch_lines(["*arc_easy*not*comparable*"])


def test_prompts_without_room_for_an_answer_are_told_before_anything_is_measured(project, tmp_path):
    long = {"question": "How many? " * 300, "answer": "None.\n#### 0"}
    write_jsonl(tmp_path / "data" / "gsm8k" / "test.jsonl", [long, {**long, "question": "How many?"}])
    result = run(project, "--benchmarks", "arc_easy,gsm8k:0", "--benchmark-dir", str(tmp_path / "data"))
    assert result.ret == 4
    said = " ".join(result.stdout.str().split())
    assert "gsm8k: 1 of 2 prompts leave no room for 256 new tokens in demo:base, the longest (0000) for 0;" in said
    assert "arc_easy/acc" not in said
    assert "Traceback" not in said


def test_prompts_that_lose_their_beginning_are_told(project, tmp_path):
    rows = own_rows("lambada_openai")["test"]
    long = {**rows[0], "text": "and so on " * 400 + rows[0]["text"]}
    write_jsonl(tmp_path / "long" / "lambada_openai" / "test.jsonl", [long, *rows[1:]])
    told = "lambada_openai: 1 of 12 prompts have more tokens than demo:base has positions (512)"
    for folder, is_told in {"long": True, "data": False}.items():
        result = run(project, "--benchmarks", "lambada_openai", "--benchmark-dir", str(tmp_path / folder))
        assert result.ret == 0
        assert (told in " ".join(result.stdout.str().split())) is is_told


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--benchmarks", "arc_esy"), "*there is no benchmark 'arc_esy'; did you mean arc_easy?*"),
        (
            ("--benchmarks", "copa", "--samples", "copa.jsonl"),
            "*--samples and --benchmarks name a set of the same name*",
        ),
        (("--benchmark-dir", "."), "*--benchmark-dir says where benchmarks are found; name those to run*"),
        (("--benchmarks", "piqa", "--benchmark-dir", "nowhere"), "*--benchmark-dir nowhere: there is no such folder*"),
        (("--benchmarks", "piqa", "--benchmark-dir", "."), "*piqa: not in ., and --offline forbids asking the hub*"),
    ],
)
def test_wrong_usage_is_one_sentence(project, arguments, sentence):
    write_jsonl(project.path / "copa.jsonl", [{"id": "1", "prompt": "a", "choices": ["b", "c"], "target": 0}])
    result = run(project, *arguments)
    assert result.ret == 4
    (result.stderr if "ERROR" in result.stderr.str() else result.stdout).fnmatch_lines([sentence])
    assert "Traceback" not in result.stdout.str() + result.stderr.str()
