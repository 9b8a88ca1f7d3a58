"""Where lm-eval's tasks are written down: found as text, without lm-eval, in its package and in the user's folder."""

import importlib.util
import subprocess
import sys

import pytest

from harness.errors import DataError, UsageError
from harness.lm_eval_tasks.finding import TaskFiles, installed_tasks, read_task
from lm_eval_logs import CHOICE, write_task

pytest.importorskip("lm_eval")


@pytest.fixture(scope="module")
def installed():
    return TaskFiles()


def names(found):
    return [task.name for task in found]


def test_a_task_a_group_and_a_tag_are_found(installed):
    assert installed.named("sciq").config["doc_to_choice"]
    assert installed.named("mmlu").is_group
    assert names(installed.named("ai2_arc")) == ["arc_challenge", "arc_easy"]


def test_keys_may_be_quoted(installed):
    """mmlu's files are JSON-like."""
    assert installed.named("mmlu_anatomy").config["doc_to_choice"] == ["A", "B", "C", "D"]
    assert len(installed.named("mmlu_stem_tasks")) == 19


def test_every_name_of_lm_evals_own_index_is_found_in_the_same_file(installed):
    """On a part of the tasks: lm-eval's index of all of them takes six seconds."""
    from lm_eval.tasks._index import Kind, TaskIndex

    for folder in ("arc", "mmlu/default", "truthfulqa", "lambada", "gsm8k"):
        for name, entry in TaskIndex.build([installed_tasks() / folder]).items():
            if entry.kind is Kind.TAG:
                assert set(names(installed.named(name))) >= entry.tags
            else:
                assert installed.named(name).path == entry.yaml_path.resolve()


def test_a_tag_may_stand_in_a_template_of_a_template(tmp_path):
    (tmp_path / "_base").write_text("tag: family\noutput_type: multiple_choice\n")
    (tmp_path / "_middle").write_text("include: _base\ntest_split: test\n")
    for name in ("first", "second"):
        (tmp_path / f"{name}.yaml").write_text(f"include: _middle\ntask: {name}\n")
    (tmp_path / "other.yaml").write_text("task: other\n")
    assert names(TaskFiles(tmp_path).named("family")) == ["first", "second"]


def test_own_keys_win_over_included_ones(tmp_path):
    (tmp_path / "_base").write_text("task: base\ntest_split: test\nnum_fewshot: 3\n")
    (tmp_path / "own.yaml").write_text("include: [_base]\ntask: own\nnum_fewshot: 5\n")
    task = read_task(tmp_path / "own.yaml")
    assert (task.name, task.config["test_split"], task.config["num_fewshot"]) == ("own", "test", 5)


def test_the_users_folder_comes_first(tmp_path):
    path = write_task(tmp_path, "sciq", CHOICE)
    assert TaskFiles(tmp_path).named("sciq").path == path


def test_an_unknown_name_comes_with_the_nearest(installed):
    with pytest.raises(UsageError, match=r"no task, group or tag 'scqi' \(near are sciq\)"):
        installed.named("scqi")
    with pytest.raises(UsageError, match="prints them"):
        installed.named("§§§§")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("task: [", r"broken.yaml:\d: no YAML that can be read"),
        ("- task", "is a list of keys and values, this is list"),
        ("test_split: test", "names neither a task nor a group"),
        ("task: [one, two]", "give the file the key group"),
        ("task: broken\ninclude: nowhere", "nowhere: cannot be read"),
        ("task: broken\ninclude: broken.yaml", "broken.yaml: includes broken.yaml, which includes it in turn"),
    ],
)
def test_a_file_that_is_no_task_is_one_sentence(tmp_path, text, said):
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(DataError, match=said):
        read_task(path)


def test_yaml_makes_no_objects(tmp_path):
    path = tmp_path / "task.yaml"
    path.write_text("task: own\nmetadata: !!python/object/apply:os.getcwd []\n")
    with pytest.raises(DataError, match="no YAML that can be read"):
        read_task(path)


def test_places_that_are_not_there_are_told(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match=r"--lm-eval-include .*: there is no such folder"):
        TaskFiles(tmp_path / "nowhere").named("sciq")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'pytest-sft\[lm-eval\]'"):
        TaskFiles()


def test_neither_lm_eval_nor_torch_is_imported_to_find_tasks():
    code = (
        "import sys; from harness.lm_eval_tasks.sets import task_sets; task_sets(['mmlu', 'gsm8k']);"
        "print([name for name in ('lm_eval', 'torch', 'transformers', 'datasets') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
