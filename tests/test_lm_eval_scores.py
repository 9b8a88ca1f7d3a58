"""What lm-eval's tasks declare and how their values are made, held to lm-eval's own tables and rules."""

import numpy as np
import pytest

from harness.errors import UsageError
from harness.lm_eval_tasks.aggregations import RULES
from harness.lm_eval_tasks.finding import Function
from harness.lm_eval_tasks.scores import AGGREGATIONS, DEFAULTS, LOWER, scores_of
from harness.lm_eval_tasks.sets import task_sets
from harness.statistics import value_of
from ifeval_reference import checkers_of_lm_eval
from lm_eval_logs import CHOICE, write_task

pytest.importorskip("lm_eval")

TEXTS = [
    ("the cat sat on the warm mat by the door", "the cat sat on a warm mat near the door"),
    ("Paris", "paris, of course"),
    ("it rained in the old town for nine days", "it rained in the old town for nine days"),
    ("一只白鹅过河", "白鹅过了河"),
    ("nothing was left of it", ""),
]
SEVERAL = [([first, first.upper()], second) for first, second in TEXTS]
CLASSES = [(0, 0), (1, 1), (1, 0), (0, 1), (1, 1), (0, 0), (1, 1)]
WEIGHED = [(-12.5, 7), (-3.25, 2), (-40.0, 11)]
LOGGED = {
    "mean": [0, 1, True, 0.25, [1.0]],
    "perplexity": [-0.5, -2.25, -1.0],
    "weighted_perplexity": WEIGHED,
    "bits_per_byte": WEIGHED,
    "f1": CLASSES,
    "matthews_corrcoef": CLASSES,
    "agg_inst_level_acc": [[True, False], [True], [False, True, True]],
    **dict.fromkeys(("bleu", "chrf", "chrf++", "ter"), TEXTS),
}


def value(name, logged):
    rule = RULES[name]
    return value_of(np.array([rule.numbers(each) for each in logged], dtype=np.float64), rule.aggregate)


def theirs(name, logged):
    import lm_eval.api.metrics  # noqa: F401 - fills the registry
    from lm_eval.api.registry import AGGREGATION_REGISTRY

    if name == "agg_inst_level_acc":
        with checkers_of_lm_eval() as utils:
            return utils.agg_inst_level_acc(logged)
    return AGGREGATION_REGISTRY[name](
        [each[0] if name == "mean" and isinstance(each, list) else each for each in logged]
    )


@pytest.mark.parametrize("name", RULES)
def test_an_aggregation_is_that_of_lm_eval(name):
    found = value(name, LOGGED[name])
    assert found == pytest.approx(theirs(name, LOGGED[name]), rel=1e-12)
    assert found not in (0, 1)


@pytest.mark.parametrize("name", ["bleu", "chrf", "chrf++", "ter"])
def test_several_references_count_as_in_lm_eval(name):
    assert value(name, SEVERAL) == pytest.approx(theirs(name, SEVERAL), rel=1e-12)


@pytest.mark.parametrize("name", ["f1", "matthews_corrcoef"])
def test_classes_that_are_never_told_apart_have_a_value(name):
    assert value(name, [(0, 0), (1, 0)]) == 0


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("mean", "right"),
        ("mean", [1, 2]),
        ("mean", None),
        ("bits_per_byte", -3.5),
        ("bleu", [1, 2]),
        ("f1", [2, 0]),
        ("agg_inst_level_acc", []),
    ],
)
def test_a_value_of_another_kind_is_refused(name, wrong):
    with pytest.raises((TypeError, ValueError)):
        RULES[name].numbers(wrong)


def test_the_tables_are_those_of_the_installed_lm_eval():
    import lm_eval.api.metrics  # noqa: F401 - fills the registry
    from lm_eval.api.registry import (
        AGGREGATION_REGISTRY,
        DEFAULT_METRIC_REGISTRY,
        get_metric_aggregation,
        is_higher_better,
        metric_registry,
    )

    names = {each: name for name, each in AGGREGATION_REGISTRY.items()}
    assert {name: list(each) for name, each in DEFAULTS.items()} == DEFAULT_METRIC_REGISTRY
    assert set(AGGREGATIONS) == set(metric_registry)
    assert {name: names[get_metric_aggregation(name)] for name in AGGREGATIONS} == dict(AGGREGATIONS)
    assert {name for name in AGGREGATIONS if not is_higher_better(name)} == LOWER


def labels(config):
    kept, left = scores_of(config)
    return [score.label for score in kept], left


def test_what_a_task_does_not_declare_is_lm_evals_default():
    assert labels({"output_type": "multiple_choice"}) == (["acc", "acc_norm"], ())
    assert labels({}) == (["exact_match"], ())


def test_each_filter_gives_a_score():
    config = {"filter_list": [{"name": "strict-match"}, {"name": "flexible-extract"}]}
    assert labels(config)[0] == ["exact_match,strict-match", "exact_match,flexible-extract"]


def test_what_cannot_be_gated_is_left_out_with_its_reason():
    kept, left = labels(
        {
            "output_type": "multiple_choice",
            "metric_list": [{"metric": "acc"}, {"metric": "brier_score"}, {"metric": "perplexity"}],
        }
    )
    assert kept == ["acc"]
    assert "aggregated by brier_score" in left[0]
    assert "does not give it for multiple_choice" in left[1]


def test_a_function_is_a_rule_only_by_a_name_that_is_known():
    task = {"output_type": "generate_until", "process_results": "f"}
    for stated in (Function("utils.agg_inst_level_acc"), "def agg_inst_level_acc(items):\n    return 1\n"):
        assert labels({**task, "metric_list": [{"metric": "kept", "aggregation": stated}]}) == (["kept"], ())
    for stated in (Function("utils.mean"), "def mean(items):\n    return 1\n"):
        kept, left = labels({**task, "metric_list": [{"metric": "kept", "aggregation": stated}]})
        assert kept == []
        assert "a function of the task" in left[0]


def test_the_direction_is_the_tasks_own():
    (score,), _ = scores_of(
        {"process_results": "f", "metric_list": [{"metric": "bias", "aggregation": "mean", "higher_is_better": False}]}
    )
    assert not score.higher_is_better


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("unsafe_code: true", "runs the code that a model writes"),
        ("doc_to_image: picture", "pictures or sounds"),
        ("class: !function own.Task", "is a Python class"),
        ("metric_list: [{metric: f1, hf_evaluate: true}]\noutput_type: generate_until", "from the hub as code"),
        ("metric_list: [{metric: sari}]\noutput_type: generate_until", "metric sari from the hub as code"),
        ("metric_list: [{metric: brier_score}]", "nothing of own can be gated: brier_score"),
        ("metric_list: [{metric: acc, aggregation: 3}]", "the aggregation of acc is no name"),
        ("metric_list: acc", "metric_list is no list of entries that each have a metric"),
        ("filter_list: [{filter: []}]", "filter_list is no list of entries that each have a name"),
    ],
)
def test_a_task_that_is_not_run_is_one_sentence(tmp_path, line, said):
    path = write_task(tmp_path, "own", {key: each for key, each in CHOICE.items() if key != "metric_list"})
    path.write_text(f"{path.read_text()}{line}\n")
    with pytest.raises(UsageError, match=said) as caught:
        task_sets([str(path)])
    assert "\n" not in str(caught.value)


def test_tasks_that_run_code_are_refused_by_their_names():
    for name in ("humaneval", "mbpp"):
        with pytest.raises(UsageError, match="runs the code that a model writes"):
            task_sets([name])


def grouped(folder, aggregate, members="[one, two]"):
    for name in ("one", "two"):
        write_task(folder, name, CHOICE)
    (folder / "both.yaml").write_text(f"group: both\ntask: {members}\n{aggregate}")
    return task_sets(["both"], folder)


def test_a_group_with_a_mean_is_one_set_and_any_other_is_its_tasks(tmp_path):
    assert [each.name for each in grouped(tmp_path, "")] == ["one", "two"]
    (whole,) = grouped(tmp_path, "aggregate_metric_list: [{metric: acc, weight_by_size: true}]\n")
    assert (whole.name, [task.name for task in whole.tasks], whole.notes) == ("both", ["one", "two"], ())
    (alike,) = grouped(tmp_path, "aggregate_metric_list: [{metric: acc, weight_by_size: false}]\n")
    assert "each sample counts alike" in alike.notes[0]


def test_a_group_that_changes_its_tasks_is_refused(tmp_path):
    assert len(grouped(tmp_path, "", "[{task: one, task_alias: first}, two]")) == 2
    with pytest.raises(UsageError, match="settings of their own"):
        grouped(tmp_path, "", "[{task: one, num_fewshot: 3}]")
    with pytest.raises(UsageError, match="settings of their own"):
        grouped(tmp_path, "num_fewshot: 3\n")


def test_a_group_that_is_its_own_member_or_has_none_is_one_sentence(tmp_path):
    with pytest.raises(UsageError, match="the group both is a member of itself"):
        grouped(tmp_path, "", "[one, both]")
    with pytest.raises(UsageError, match="lists no task"):
        grouped(tmp_path, "", "[]")
    with pytest.raises(UsageError, match="aggregate_metric_list is no list"):
        grouped(tmp_path, "aggregate_metric_list: [acc]\n")


def test_the_shots_stand_behind_the_name():
    assert [each.shots for each in task_sets(["sciq:5", "piqa"])] == [5, None]


def test_a_set_is_named_once():
    with pytest.raises(UsageError, match="'arc_easy' is named twice"):
        task_sets(["arc_easy", "ai2_arc"])


def test_mmlu_is_one_set_of_57_subjects():
    (mmlu,) = task_sets(["mmlu"])
    assert (mmlu.name, [score.label for score in mmlu.scores]) == ("mmlu", ["acc"])
    assert len({task.name for task in mmlu.tasks}) == len(mmlu.tasks) == 57
