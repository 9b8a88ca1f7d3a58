"""Earlier runs of lm-eval as a baseline: the same numbers as a run of this moment, and every damage one sentence."""

import json
import shutil
from contextlib import nullcontext
from dataclasses import replace
from functools import partial

import pytest

from harness import baselines
from harness.__main__ import main
from harness.benchmarks.asking import benchmark_samples
from harness.benchmarks.catalogue import BENCHMARKS
from harness.benchmarks.local import folder_rows
from harness.gate import judge
from harness.lm_eval_tasks.finding import installed_tasks
from harness.lm_eval_tasks.measured import measurement_of
from harness.lm_eval_tasks.running import Asked, load_tasks, run_set
from harness.lm_eval_tasks.sets import task_sets
from harness.metrics.general import measure_of
from harness.models.fetch import Access
from harness.models.load import LoadOptions, load
from harness.records import Outcome, Reference
from harness.references import parse_reference
from ifeval_reference import checkers_of_lm_eval
from lm_eval_logs import ANSWER, CHOICE, ENDING, ROLLING, capitals, logged_by_lm_eval, write_rows, write_task

pytest.importorskip("lm_eval")

KINDS = {"choice": CHOICE, "answer": ANSWER, "rolling": ROLLING, "ending": ENDING}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    options = LoadOptions(Access(tmp_path_factory.mktemp("cache"), offline=True))
    return {name: load(parse_reference(f"demo:{name}"), options) for name in ("base", "tuned")}


@pytest.fixture(scope="module")
def task_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tasks")
    return {name: write_task(folder, name, body) for name, body in KINDS.items()}


@pytest.fixture(scope="module")
def logs(models, task_files, tmp_path_factory):
    """One folder of lm-eval's logs for each model."""
    folders = {name: tmp_path_factory.mktemp(name) for name in models}
    for name, folder in folders.items():
        logged_by_lm_eval(models[name], list(task_files.values()), folder)
    return folders


@pytest.fixture
def log(logs, tmp_path):
    """A copy of the tuned model's logs, to be damaged."""
    shutil.copytree(logs["tuned"], tmp_path / "out")
    return tmp_path / "out"


@pytest.fixture
def importing(tmp_path, capsys):
    """Import, and return the exit status, the stored measurements, and what was printed."""

    def run(*paths):
        status = main(
            ["import-lm-eval", *map(str, paths), "--baseline", "theirs", "--baseline-dir", str(tmp_path / "b")]
        )
        said = capsys.readouterr()
        stored = baselines.load(tmp_path / "b", "theirs").measurements if status == 0 else {}
        return status, stored, " ".join((said.out + said.err).split())

    return run


def ours(model, path, **asked):
    (tasks,) = task_sets([str(path)])
    runs = run_set(load_tasks(tasks, offline=True), model, Asked(**asked))
    return [measurement_of(tasks.name, runs, score) for score in tasks.scores]


def verdict(measurement, stored):
    reference = Reference("baseline theirs", stored[measurement.name])
    return judge(measurement, reference, margin=0.02, alpha=0.05, comparisons=1)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_model_is_unchanged_sample_by_sample(models, task_files, logs, importing, kind):
    status, stored, _ = importing(logs["tuned"])
    assert status == 0
    for measurement in ours(models["tuned"], task_files[kind]):
        found = verdict(measurement, stored)
        assert (found.drop, found.lost, found.won, found.n) == (0, (), (), 10), found.reason
        assert stored[measurement.name].higher_is_better == measurement.higher_is_better
        assert stored[measurement.name].chance == measurement.chance


def test_another_model_flips_the_samples_that_lm_eval_logged_otherwise(models, task_files, logs, importing):
    _, stored, _ = importing(logs["base"])
    before, after = (lines_of(logs[name], "choice") for name in ("base", "tuned"))
    (found,) = [verdict(each, stored) for each in ours(models["tuned"], task_files["choice"]) if each.metric == "acc"]
    was, now = ({f"{line['doc_id']:04}": line["acc"] for line in lines} for lines in (before, after))
    assert set(found.won) == {key for key in was if was[key] < now[key]} != set()
    assert set(found.lost) == {key for key in was if was[key] > now[key]}


@pytest.mark.parametrize(
    ("name", "yaml", "split", "rows"),
    [
        (
            "piqa",
            "piqa/piqa.yaml",
            "validation",
            [
                {
                    "goal": f"reach {row['place']}",
                    "sol1": row["cities"][0],
                    "sol2": row["cities"][1],
                    "label": number % 2,
                }
                for number, row in enumerate(capitals())
            ],
        ),
        (
            "winogrande",
            "winogrande/default.yaml",
            "validation",
            [
                {
                    "sentence": f"a train to {row['place']} stops in _ at noon.",
                    "option1": row["cities"][0],
                    "option2": row["cities"][1],
                    "answer": str(1 + number % 2),
                }
                for number, row in enumerate(capitals())
            ],
        ),
        (
            "truthfulqa_mc2",
            "truthfulqa/truthfulqa_mc2.yaml",
            "validation",
            [
                {
                    "question": f"What is the capital of {row['place']}?",
                    "mc1_targets": {"choices": row["cities"], "labels": [1, 0, 0]},
                    "mc2_targets": {"choices": row["cities"], "labels": [1, number % 2, 0]},
                }
                for number, row in enumerate(capitals())
            ],
        ),
        (
            "lambada_openai",
            "lambada/lambada_openai.yaml",
            "test",
            [{"text": f"the capital of {row['place']} is {row['cities'][row['right']]}"} for row in capitals()],
        ),
        (
            "gsm8k",
            "gsm8k/gsm8k.yaml",
            "test",
            [
                {"question": f"How many letters has {row['place']}?", "answer": f"I count.\n#### {len(row['place'])}"}
                for row in capitals()
            ],
        ),
        (
            "ifeval",
            "ifeval/ifeval.yaml",
            "train",
            [
                {
                    "key": number,
                    "prompt": f"the capital of {row['place']} is",
                    "instruction_id_list": ["punctuation:no_comma", "change_case:english_lowercase"][: 1 + number % 2],
                    "kwargs": [{}, {}][: 1 + number % 2],
                }
                for number, row in enumerate(capitals())
            ],
        ),
    ],
)
def test_a_benchmark_of_our_own_is_compared_with_lm_evals_run_of_it(
    models, importing, tmp_path, name, yaml, split, rows
):
    data = tmp_path / "sets" / name
    data.mkdir(parents=True)
    file = write_rows(data / f"{split}.jsonl", rows)
    path = tmp_path / f"{name}.yaml"
    path.write_text(
        f"include: {installed_tasks() / yaml}\ntask: {name}\ndataset_path: json\ndataset_name: null\n"
        f"training_split: null\nfewshot_split: null\nnum_fewshot: 0\n"
        f"dataset_kwargs: {{data_files: {{{split}: {file}}}}}\n"
    )
    benchmark = replace(BENCHMARKS[name], shots=0)
    if name == "ifeval":  # the demo has no room for the 1280 tokens of its answers
        benchmark = replace(benchmark, max_new_tokens=16)
        path.write_text(path.read_text() + "generation_kwargs: {until: [], do_sample: false, max_gen_toks: 16}\n")
    with checkers_of_lm_eval() if name == "ifeval" else nullcontext():
        logged_by_lm_eval(models["tuned"], [path], tmp_path / "out")
    status, stored, said = importing(tmp_path / "out")
    assert status == 0, said
    samples = benchmark_samples(benchmark, partial(folder_rows, tmp_path / "sets", benchmark))
    for metric in benchmark.metrics:
        found = verdict(measure_of(benchmark, metric)(models["tuned"], samples), stored)
        assert found.drop == pytest.approx(0, abs=1e-4), found.reason
        if name != "truthfulqa_mc2":  # a share of probability, which other products move in its fifth digit
            assert (found.lost, found.won) == ((), ())


def test_a_group_is_imported_as_the_one_set_that_runs_under_its_name(models, importing, tmp_path):
    for name in ("capitals_one", "capitals_two"):
        write_task(tmp_path, name, CHOICE)
    group = tmp_path / "capitals.yaml"
    group.write_text("group: capitals\ntask: [capitals_one, capitals_two]\naggregate_metric_list: [{metric: acc}]\n")
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(tmp_path), include_defaults=False)
    logged_by_lm_eval(models["base"], ["capitals"], tmp_path / "out", task_manager=manager)
    status, stored, said = importing(tmp_path / "out")
    assert (status, list(stored)) == (0, ["capitals/acc"]), said
    (tasks,) = task_sets(["capitals"], tmp_path)
    runs = run_set(load_tasks(tasks, offline=True), models["base"], Asked())
    found = verdict(measurement_of(tasks.name, runs, tasks.scores[0]), stored)
    assert (found.drop, found.lost, found.won, found.n) == (0, (), (), 20), found.reason


def files(folder, pattern):
    return sorted(folder.rglob(pattern))


def lines_of(folder, task):
    (path,) = files(folder, f"samples_{task}_*.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


def rewrite(folder, task, change):
    """Let ``change`` do something to the list of a task's lines; returns the file."""
    (path,) = files(folder, f"samples_{task}_*.jsonl")
    lines = change(lines_of(folder, task))
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def rewrite_results(folder, change):
    (path,) = files(folder, "results_*.json")
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return path


def as_before(line):
    """As lm-eval 0.4.3 wrote a sample: arguments as lists, and neither the filter nor the names of the metrics."""
    arguments = [list(each.values()) for each in line["arguments"].values()]
    kept = {key: value for key, value in line.items() if key not in ("filter", "metrics", "prompt_hash", "target_hash")}
    return {**kept, "arguments": arguments}


def test_the_older_form_of_the_files_is_the_same_baseline(log, importing, tmp_path):
    _, new, _ = importing(log)
    shutil.rmtree(tmp_path / "b")
    for task in KINDS:
        rewrite(log, task, lambda lines: [as_before(line) for line in lines])
    rewrite_results(log, lambda content: [content.pop(key) for key in ("n-samples", "task_hashes", "higher_is_better")])
    _, old, said = importing(log)
    assert old == new, said
    assert "answer/exact_match,word" in old


def test_of_several_runs_the_newest_is_taken_and_said(log, importing):
    for path in files(log, "*_20*"):
        head = path.name.rpartition("_")[0]
        path.with_name(f"{head}_2020-01-01T00-00-00.000001{path.suffix}").write_text(path.read_text())
    status, stored, said = importing(log)
    assert (status, stored["choice/acc"].n) == (0, 10)
    assert said.count("2020-01-01T00-00-00.000001.jsonl (not read)") == len(KINDS)


def test_a_file_of_a_folder_can_be_taken_alone(log, importing):
    (path,) = files(log, "samples_choice_*")
    status, stored, _ = importing(path)
    assert (status, sorted(stored)) == (0, ["choice/acc", "choice/acc_norm"])


def test_where_the_run_was_made_is_stored(log, importing, tmp_path):
    rewrite_results(log, lambda content: content["config"].update(model_dtype="torch.bfloat16", device="cuda:0"))
    importing(log)
    stored = baselines.load(tmp_path / "b", "theirs")
    assert (stored.environment["dtype"], stored.environment["device"]) == ("bfloat16", "cuda:0")
    assert stored.config["suites"] == {"forgetting": sorted(stored.measurements)}


def test_a_limited_run_is_stored_as_such(models, task_files, importing, tmp_path):
    logged_by_lm_eval(models["tuned"], [task_files["choice"]], tmp_path / "part", limit=4)
    _, stored, _ = importing(tmp_path / "part")
    assert (stored["choice/acc"].limited, stored["choice/acc"].n) == (True, 4)
    (found,) = [verdict(each, stored) for each in ours(models["tuned"], task_files["choice"]) if each.metric == "acc"]
    assert (found.n, found.drop) == (4, 0)


def test_a_run_through_the_chat_template_meets_one_through_the_same(models, task_files, importing, tmp_path):
    logged_by_lm_eval(models["tuned"], [task_files["choice"]], tmp_path / "chat", apply_chat_template=True)
    _, stored, _ = importing(tmp_path / "chat")
    plain, chat = ours(models["tuned"], task_files["choice"]), ours(models["tuned"], task_files["choice"], chat=True)
    assert verdict(plain[0], stored).outcome is Outcome.NOT_COMPARABLE
    assert [(found.drop, found.n) for found in (verdict(each, stored) for each in chat)] == [(0, 10), (0, 10)]


def test_numbers_of_a_tasks_own_making_are_taken_where_they_are_the_mean(log, importing):
    rewrite(log, "choice", lambda lines: [{**line, "own": line["acc"], "pair": [1, 0], "odd": 1} for line in lines])
    rewrite_results(
        log,
        lambda content: content["results"]["choice"].update(
            {"own,none": content["results"]["choice"]["acc,none"], "pair,none": 0.5, "odd,none": 0.9}
        ),
    )
    status, stored, said = importing(log)
    assert status == 0
    assert stored["choice/own"].value == stored["choice/acc"].value
    assert "choice/pair" not in stored
    assert "lm-eval's pair is not imported" in said
    assert "lm-eval's odd is not imported" in said


def test_other_shots_are_not_comparable(models, task_files, importing, tmp_path):
    logged_by_lm_eval(models["tuned"], [task_files["choice"]], tmp_path / "shots", num_fewshot=1)
    _, stored, said = importing(tmp_path / "shots")
    assert "--lm-eval-tasks choice:1 --baseline theirs" in said
    found = verdict(ours(models["tuned"], task_files["choice"])[0], stored)
    assert found.outcome is Outcome.NOT_COMPARABLE
    assert "shots 1 -> 0" in found.reason


def test_another_prompt_is_not_comparable(models, task_files, importing, tmp_path):
    write_task(tmp_path, "choice", {**CHOICE, "doc_to_text": "{{place}} has the capital"})
    logged_by_lm_eval(models["tuned"], [tmp_path / "choice.yaml"], tmp_path / "other")
    _, stored, _ = importing(tmp_path / "other")
    found = verdict(ours(models["tuned"], task_files["choice"])[0], stored)
    assert found.outcome is Outcome.NOT_COMPARABLE
    assert "10 of 10 samples have other content" in found.reason


def cut_a_line(log):
    path = rewrite(log, "choice", lambda lines: lines)
    path.write_text(path.read_text()[:-40])
    return f"{path}:10: not valid JSON"


def cut_lines(log):
    path = rewrite(log, "choice", lambda lines: lines[:-2])
    return f"{path}: holds 8 samples, and results_"


def cut_lines_of_an_old_run(log):
    rewrite(log, "ending", lambda lines: lines[:-1])
    path = rewrite_results(log, lambda content: [content.pop(key) for key in ("n-samples", "task_hashes")])
    return f"{path}: lm-eval reports perplexity"


def repeat_a_line(log):
    path = rewrite(log, "choice", lambda lines: [*lines, lines[3]])
    return f"{path}:11: sample 3 of choice is there a second time; it was first at {path}:4"


def lose_a_line_of_one_filter(log):
    rewrite(log, "answer", lambda lines: [line for line in lines if (line["doc_id"], line["filter"]) != (3, "word")])
    return "sample 3 of answer is there, but not under the filter 'word', which has 9 of 10"


def mix_tasks(log):
    other = lines_of(log, "rolling")
    path = rewrite(log, "choice", lambda lines: [*lines[:5], *other[5:]])
    return f"{path}:6: sample 5 has none of the scores of choice"


def exchange_prompts(log):
    path = rewrite(log, "choice", lambda lines: [{**line, "prompt_hash": "0" * 64} for line in lines])
    return f"{path}: its 10 samples are not those that results_"


def edit_a_score(log):
    rewrite(log, "choice", lambda lines: [{**lines[0], "acc": 1.0 - lines[0]["acc"]}, *lines[1:]])
    (path,) = files(log, "results_*.json")
    return f"{path}: lm-eval reports acc"


def write_words_for_a_score(log):
    path = rewrite(log, "choice", lambda lines: [{**lines[0], "acc": "right"}, *lines[1:]])
    return f"{path}:1: acc of sample 0 is 'right', which is no score"


def write_words_for_a_number(log):
    path = rewrite(log, "choice", lambda lines: [lines[0], {**lines[1], "doc_id": "one"}, *lines[2:]])
    return f"{path}:2: doc_id is 'one'"


def take_the_prompts_away(log):
    path = rewrite(log, "choice", lambda lines: [{**line, "arguments": {}} for line in lines])
    return f"{path}:1: sample 0 has no prompt"


def take_the_results_away(log):
    for path in files(log, "results_*.json"):
        path.unlink()
    return "results_20"


def damage_the_results(log):
    (path,) = files(log, "results_*.json")
    path.write_text(path.read_text()[:200])
    return f"{path}:"


def write_other_results(log):
    (path,) = files(log, "results_*.json")
    path.write_text("{}")
    return f"{path}: holds no results and configs of tasks"


def close_a_circle_of_groups(log):
    path = rewrite_results(log, lambda content: content.update(group_subtasks={"one": ["two"], "two": ["one"]}))
    return f"{path}: group_subtasks makes the group one a member of itself"


def write_words_for_a_count(log):
    path = rewrite_results(log, lambda content: content["n-shot"].update(choice="none"))
    return f"{path}: n-shot of choice is 'none'"


def write_a_list_for_an_object(log):
    path = rewrite_results(log, lambda content: content.update(versions=[1]))
    return f"{path}: versions is list"


def write_numbers_for_stops(log):
    def change(lines):
        lines[0]["arguments"]["gen_args_0"]["arg_1"]["until"] = 3
        return lines

    path = rewrite(log, "answer", change)
    return f"{path}:1: until of sample 0 is no text"


def take_a_task_from_the_results(log):
    rewrite_results(log, lambda content: content["results"].pop("choice"))
    (path,) = files(log, "samples_choice_*.jsonl")
    return f"{path}: results_"


def bring_another_model(log):
    shutil.copytree(log, log / "second")
    for path in (log / "second").rglob("*_20*"):
        path.rename(path.with_name(path.name.replace("_2026", "_2036").replace("_2025", "_2036")))
    for path in (log / "second").rglob("samples_choice_*"):
        path.unlink()
    for path in (log / "second").rglob("results_*.json"):
        content = json.loads(path.read_text())
        path.write_text(json.dumps({**content, "model_name": "another"}))
    return "2 models"


@pytest.mark.parametrize(
    "damage",
    [
        cut_a_line,
        cut_lines,
        cut_lines_of_an_old_run,
        repeat_a_line,
        lose_a_line_of_one_filter,
        mix_tasks,
        exchange_prompts,
        edit_a_score,
        write_words_for_a_score,
        write_words_for_a_number,
        take_the_prompts_away,
        take_the_results_away,
        damage_the_results,
        write_other_results,
        take_a_task_from_the_results,
        close_a_circle_of_groups,
        write_words_for_a_count,
        write_a_list_for_an_object,
        write_numbers_for_stops,
        bring_another_model,
    ],
)
def test_damage_is_one_sentence_and_nothing_is_stored(log, importing, tmp_path, damage):
    expected = damage(log)
    status, _, said = importing(log)
    assert status == 2
    assert expected in said
    assert "Traceback" not in said
    assert not (tmp_path / "b").exists()


def test_places_without_logs_are_told(importing, tmp_path):
    assert "there is no such file or folder" in importing(tmp_path / "nothing")[2]
    (tmp_path / "empty").mkdir()
    assert "holds no samples_TASK_TIME.jsonl" in importing(tmp_path / "empty")[2]
    (tmp_path / "other.jsonl").write_text("{}\n")
    assert "the name is not samples_TASK_TIME.jsonl" in importing(tmp_path / "other.jsonl")[2]


def test_a_baseline_that_is_there_is_kept(log, importing):
    assert importing(log)[0] == 0
    status, _, said = importing(log)
    assert status == 2
    assert "baseline theirs is already in" in said
