"""Tasks of lm-eval on a loaded model: its own numbers, sample by sample, whatever the task asks."""

import random

import pytest

from harness.errors import InvalidRunError, NetworkError, UsageError
from harness.gate import judge
from harness.lm_eval_tasks.measured import measurement_of
from harness.lm_eval_tasks.running import Asked, load_tasks, run_set
from harness.lm_eval_tasks.sets import task_sets
from harness.models.fetch import Access
from harness.models.load import LoadOptions, load
from harness.records import Outcome, Reference
from harness.references import parse_reference
from harness.store import Store
from lm_eval_logs import ANSWER, CHOICE, ENDING, ROLLING, capitals, logged_by_lm_eval, write_rows, write_task

pytest.importorskip("lm_eval")

KINDS = {"choice": CHOICE, "answer": ANSWER, "rolling": ROLLING, "ending": ENDING}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    options = LoadOptions(Access(tmp_path_factory.mktemp("cache"), offline=True))
    return {name: load(parse_reference(f"demo:{name}"), options) for name in ("base", "tuned")}


def measured(model, path, **asked):
    """Every score of a task, by its label."""
    (tasks,) = task_sets([str(path)])
    runs = run_set(load_tasks(tasks, offline=True), model, Asked(**asked))
    return {score.label: measurement_of(tasks.name, runs, score) for score in tasks.scores}


@pytest.mark.parametrize("kind", KINDS)
def test_values_are_those_of_lm_eval(models, tmp_path, kind):
    path = write_task(tmp_path, kind, KINDS[kind])
    found = logged_by_lm_eval(models["tuned"], [path], tmp_path / "out")["results"][kind]
    ours = measured(models["tuned"], path)
    theirs = {key.removesuffix(",none"): value for key, value in found.items() if "," in key and "_stderr" not in key}
    assert {label: each.value for label, each in ours.items()} == pytest.approx(theirs, rel=1e-12)
    assert all(each.n == 10 and not each.problems for each in ours.values())
    assert {label for label, each in ours.items() if not each.higher_is_better} == {
        label for label in ours if "perplexity" in label or label.startswith(("ter", "bits"))
    }


def test_guessing_is_known_for_choices_and_for_endings(models, tmp_path):
    assert measured(models["base"], write_task(tmp_path, "choice", CHOICE))["acc"].chance == pytest.approx(1 / 3)
    assert measured(models["base"], write_task(tmp_path, "ending", ENDING))["acc"].chance == 0


def test_two_models_are_shown_the_same_shots(models, tmp_path):
    """The task's own generator goes on from one run to the next, so it has to be set back."""
    (tasks,) = task_sets([str(write_task(tmp_path, "ending", ENDING))])
    loaded = load_tasks(tasks, offline=True)
    runs = [run_set(loaded, models[name], Asked()) for name in ("base", "tuned", "base")]
    first, second, third = (measurement_of("ending", run, tasks.scores[1]) for run in runs)
    assert {key: score.digest for key, score in first.scores.items()} == {
        key: score.digest for key, score in second.scores.items()
    }
    assert first == third


def test_shots_are_set_by_name_and_are_part_of_what_was_asked(models, tmp_path):
    path = write_task(tmp_path, "choice", CHOICE)
    zero = measured(models["base"], path)["acc"]
    one = measured(models["base"], f"{path}:1")["acc"]
    assert "|shots:0|" in zero.signature
    assert "|shots:1|" in one.signature
    verdict = judge(one, Reference("base", zero), margin=0.02, alpha=0.05, comparisons=1)
    assert verdict.outcome is Outcome.NOT_COMPARABLE
    assert "shots 0 -> 1" in verdict.reason


def test_a_task_without_shots_is_given_none(models, tmp_path):
    path = write_task(tmp_path, "choice", {**CHOICE, "num_fewshot": 0})
    with pytest.raises(UsageError, match="asked without shots"):
        measured(models["base"], f"{path}:3")


def test_a_limit_takes_the_seeded_subset(models, tmp_path):
    path = write_task(tmp_path, "choice", CHOICE)
    whole, part = measured(models["base"], path)["acc"], measured(models["base"], path, limit=4, seed=3)["acc"]
    drawn = sorted(random.Random(3).sample(range(10), 4))
    assert sorted(part.scores) == [f"{number:04}" for number in drawn]
    assert part.limited
    assert not whole.limited
    assert all(whole.scores[key] == score for key, score in part.scores.items())


def test_the_chat_template_is_part_of_what_was_asked(models, tmp_path):
    path = write_task(tmp_path, "choice", CHOICE)
    plain, chat = measured(models["tuned"], path)["acc"], measured(models["tuned"], path, chat=True)["acc"]
    assert "format:chat" in chat.signature
    assert all(plain.scores[key].digest != score.digest for key, score in chat.scores.items())
    verdict = judge(chat, Reference("plain", plain), margin=0.02, alpha=0.05, comparisons=1)
    assert verdict.outcome is Outcome.NOT_COMPARABLE


def test_what_runs_after_lm_eval_draws_as_if_it_had_not_run(models, tmp_path):
    path = write_task(tmp_path, "choice", CHOICE)
    random.seed(7)
    expected = random.random()
    random.seed(7)
    measured(models["base"], path)
    assert random.random() == expected


def test_a_group_is_one_set_whose_ids_carry_the_task(models, tmp_path):
    for name in ("capitals_one", "capitals_two"):
        write_task(tmp_path, name, CHOICE)
    (tmp_path / "capitals.yaml").write_text(
        "group: capitals\ntask: [capitals_one, capitals_two]\naggregate_metric_list: [{metric: acc}]\n"
    )
    (tasks,) = task_sets(["capitals"], tmp_path)
    runs = run_set(load_tasks(tasks, offline=True), models["base"], Asked())
    found = measurement_of(tasks.name, runs, tasks.scores[0])
    assert [score.label for score in tasks.scores] == ["acc"]
    assert found.name == "capitals/acc"
    assert found.n == 20
    assert {"one-0000", "two-0009"} <= set(found.scores)
    one, two = (next(iter(run.reported.values())) for run in runs)
    assert found.value == pytest.approx((one + two) / 2)


def test_a_limit_counts_the_samples_of_a_group_together(models, tmp_path):
    write_task(tmp_path, "capitals_one", CHOICE)
    write_task(tmp_path, "capitals_two", {**CHOICE, "metadata": {"version": 2.0}})
    (tmp_path / "capitals.yaml").write_text(
        "group: capitals\ntask: [capitals_one, capitals_two]\naggregate_metric_list: [{metric: acc}]\n"
    )
    (tasks,) = task_sets(["capitals"], tmp_path)
    loaded = load_tasks(tasks, offline=True)
    whole, part = (
        measurement_of(tasks.name, run_set(loaded, models["base"], Asked(limit)), tasks.scores[0])
        for limit in (None, 1)
    )
    assert (whole.n, part.n) == (20, 1)
    assert "task-version:1.0,2.0" in whole.signature
    assert part.signature == whole.signature


def test_a_value_that_the_samples_do_not_give_is_a_broken_run(models, tmp_path):
    (tasks,) = task_sets([str(write_task(tmp_path, "choice", CHOICE))])
    (run,) = run_set(load_tasks(tasks, offline=True), models["base"], Asked())
    run.reported["acc,none"] += 0.1
    problems = measurement_of("choice", [run], tasks.scores[0]).problems
    assert len(problems) == 1
    assert "lm-eval reports acc" in problems[0]


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"test_split": "nowhere"}, UsageError, "cannot prepare broken"),
        ({"doc_to_target": "{{no_such_field}}"}, UsageError, "broken"),
        ({"dataset_kwargs": {"data_files": {"test": "/no/such/file.jsonl"}}}, UsageError, "cannot prepare broken"),
        (
            {"output_type": "guess", "metric_list": [{"metric": "acc"}]},
            UsageError,
            "lm-eval does not give it for guess",
        ),
        ({"dataset_path": "nobody/nothing", "dataset_kwargs": None}, UsageError, "broken"),
    ],
)
def test_a_task_that_cannot_be_prepared_is_one_sentence(models, tmp_path, change, error, said):
    path = write_task(tmp_path, "broken", {**CHOICE, **change})
    with pytest.raises(error, match=said) as caught:
        measured(models["base"], path)
    assert "\n" not in str(caught.value)


def test_a_task_that_breaks_off_is_no_number(models, tmp_path):
    (tmp_path / "rules.py").write_text("def score(doc, results):\n    return {'acc': 1 / 0}\n")
    path = write_task(tmp_path, "broken", {key: value for key, value in CHOICE.items() if key != "metric_list"})
    path.write_text(path.read_text() + "process_results: !function rules.score\nmetric_list: [{metric: acc}]\n")
    with pytest.raises(InvalidRunError, match=r"broken: lm-eval broke off \(ZeroDivisionError"):
        measured(models["base"], path)


def test_a_score_that_is_declared_and_not_given_is_no_number(models, tmp_path):
    (tmp_path / "rules.py").write_text("def score(doc, results):\n    return {'other': 1}\n")
    path = write_task(tmp_path, "broken", {key: value for key, value in CHOICE.items() if key != "metric_list"})
    path.write_text(path.read_text() + "process_results: !function rules.score\nmetric_list: [{metric: acc}]\n")
    with pytest.raises(InvalidRunError, match="lm-eval gave no acc of broken"):
        measured(models["base"], path)


def test_two_classes_are_counted_for_f1_and_matthews(models, tmp_path):
    rows = [{**row, "cities": row["cities"][:2], "right": number % 2} for number, row in enumerate(capitals())]
    path = write_task(tmp_path, "classes", {**CHOICE, "metric_list": [{"metric": "f1"}, {"metric": "mcc"}]}, rows)
    found = logged_by_lm_eval(models["base"], [path], tmp_path / "out")["results"]["classes"]
    ours = measured(models["base"], path)
    assert ours["f1"].value == pytest.approx(found["f1,none"], rel=1e-12)
    assert ours["mcc"].value == pytest.approx(found["mcc,none"], rel=1e-12)


def test_no_code_is_fetched_for_a_metric_that_is_not_called(models, tmp_path, monkeypatch):
    import evaluate

    fetched = []
    monkeypatch.setattr(evaluate, "load", fetched.append)
    metrics = [{"metric": "acc"}, {"metric": "accuracy", "hf_evaluate": True, "aggregation": "mean"}]
    path = write_task(tmp_path, "choice", {**CHOICE, "metric_list": metrics})
    assert list(measured(models["base"], path)) == ["acc"]
    assert fetched == []


def test_no_network_is_asked_where_none_is_allowed(models, tmp_path, monkeypatch):
    import datasets

    def refuse(*args, **kwargs):
        raise ConnectionError("offline mode is on")

    path = write_task(tmp_path, "choice", CHOICE)
    write_rows(tmp_path / "choice.jsonl", capitals())
    monkeypatch.setattr(datasets, "load_dataset", refuse)
    with pytest.raises(NetworkError, match="without --offline"):
        measured(models["base"], path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_later_run_asks_the_engine_nothing_and_says_the_same(tmp_path, monkeypatch, kind):
    from lm_eval.models.huggingface import HFLM

    path, access = write_task(tmp_path, kind, KINDS[kind]), Access(tmp_path / "cache", offline=True)

    def later(name):
        store = Store(tmp_path / "answers")
        return store, measured(load(parse_reference(f"demo:{name}"), LoadOptions(access, answers=store)), path)

    _, first = later("base")
    other, _ = later("tuned")
    assert other.computed >= 10, "another model is asked all of it"
    for method in ("loglikelihood", "loglikelihood_rolling", "generate_until"):
        monkeypatch.setattr(HFLM, method, lambda *_: pytest.fail("asked again"))
    again, second = later("base")
    assert second == first
    assert (again.computed, again.notes) == (0, [])


def test_answers_that_are_drawn_are_drawn_again(models, tmp_path, monkeypatch):
    from lm_eval.models.huggingface import HFLM

    drawn = {**ANSWER["generation_kwargs"], "do_sample": True, "temperature": 1.0}
    path, asked = write_task(tmp_path, "drawn", {**ANSWER, "generation_kwargs": drawn}), []
    plain = HFLM.generate_until
    monkeypatch.setattr(
        HFLM, "generate_until", lambda self, requests: asked.append(len(requests)) or plain(self, requests)
    )
    measured(models["tuned"], path)
    measured(models["tuned"], path)
    assert asked == [10, 10]
