"""A guard beside a training: a run that forgets is ended with its report, one that does not goes on undisturbed."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from harness import RegressionCallback
from harness.demo import folder
from harness.errors import UsageError
from harness.training import regression
from harness.training.look import Asked, Look
from harness.training.look_told import numbers_of, told

QUESTIONS = Path(__file__).parent.parent / "suites" / "data" / "general_knowledge.jsonl"
SUITE = """
import pytest

from harness import acc


@pytest.mark.forgetting
def test_it_still_knows(model, base_model, gate, samples):
    asked = samples("asked.jsonl")
    gate(acc(model, asked), against=base_model and acc(base_model, asked), margin=0.02)
"""


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A user's own project: a suite with its data, and no conftest.py that asks for the plugin."""
    (tmp_path / "suites" / "data").mkdir(parents=True)
    (tmp_path / "suites" / "test_law.py").write_text(SUITE, encoding="utf-8")
    lines = QUESTIONS.read_text(encoding="utf-8").splitlines(keepends=True)[:40]
    (tmp_path / "suites" / "data" / "asked.jsonl").write_text("".join(lines), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def trainer_of(project, learning_rate=1e-6, callbacks=(), steps=2, **settings):
    tokenizer = AutoTokenizer.from_pretrained(folder("base"))
    rows = [dict(tokenizer(text)) for text in ("The sea is wide and blue.", "One, two, three and four.")]
    rows = [row | {"labels": row["input_ids"]} for row in rows]
    arguments = TrainingArguments(
        str(project / "run"),
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
        max_steps=steps,
        per_device_train_batch_size=1,
        learning_rate=learning_rate,
        **{"save_steps": 1, "logging_steps": 1, **settings},
    )
    model = AutoModelForCausalLM.from_pretrained(folder("base"))
    trainer = Trainer(model, arguments, train_dataset=rows, processing_class=tokenizer, callbacks=list(callbacks))
    trainer.remove_callback(PrinterCallback)
    return trainer


def losses(trainer):
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def verdict(outcome="unchanged", **numbers):
    known = {"measurement": "law/acc", "reference": "base model", "reference_value": 0.9, "value": 0.5, "drop": 0.4}
    return known | {"outcome": outcome, "reason": "as it is"} | numbers


@pytest.fixture
def looks(monkeypatch):
    """Looks as they are listed here instead of processes; what each was asked is kept in the list beside."""
    planned, asked = [], []

    def look_at(checkpoint, settings, report, *, step, **beside):
        asked.append({"checkpoint": checkpoint, "settings": settings, **beside})
        return Look(step, report, **(planned.pop(0) if planned else {"verdicts": (verdict(),)}))

    monkeypatch.setattr(regression, "look_at", look_at)
    monkeypatch.setattr(regression, "check_asked", lambda asked: None)
    return SimpleNamespace(planned=planned, asked=asked)


def test_a_run_that_forgets_is_ended_and_its_report_is_left(project, capsys):
    guard = RegressionCallback("suites/test_law.py")
    trainer = trainer_of(project, learning_rate=0.1, callbacks=[guard])
    trainer.train()
    assert trainer.state.global_step == 1
    assert "step 1 of 2: asked/acc regressed" in guard.stopped
    report = project / "run" / "regression" / "checkpoint-1.json"
    assert str(report) in guard.stopped
    assert json.loads(report.read_text(encoding="utf-8"))["config"]["alpha"] == 0.025  # two looks share 0.05
    assert "regression: step 1 of 2" in capsys.readouterr().err


def test_a_run_that_keeps_its_knowledge_goes_on_as_without_a_guard(project, capsys):
    shown = []
    guard = RegressionCallback("suites/test_law.py", every=2, log=shown.append, reports=project / "reports")
    trainer = trainer_of(project, callbacks=[guard])
    trainer.train()
    assert (trainer.state.global_step, guard.stopped) == (2, "")
    assert [look.step for look in guard.looks] == [2]
    assert shown[0]["regression/asked/acc"] > 0.9
    assert shown[0]["regression/regressed"] == 0
    assert (project / "reports" / "checkpoint-2.json").is_file()
    assert "asked/acc" in capsys.readouterr().err
    shutil.rmtree(project / "run")
    bare = trainer_of(project)
    bare.train()
    assert losses(bare) == losses(trainer)


def test_what_cannot_be_run_is_told_before_the_first_step(project):
    guard = RegressionCallback("suites/test_law.py", baseline="nowhere")
    trainer = trainer_of(project, callbacks=[guard])
    with pytest.raises(UsageError, match="no baseline 'nowhere'"):
        trainer.train()
    assert trainer.state.global_step == 0


def test_a_look_that_breaks_is_told_and_does_not_end_the_training(project, looks, capsys):
    looks.planned.append({"broken": "out of memory"})
    guard = RegressionCallback()
    trainer = trainer_of(project, callbacks=[guard])
    trainer.train()
    assert (trainer.state.global_step, guard.stopped) == (2, "")
    assert "not judged: out of memory" in capsys.readouterr().err
    assert trainer.state.log_history[1]["regression/broken"] == 1


def test_a_broken_look_ends_the_training_where_that_is_asked(project, looks):
    looks.planned.append({"broken": "out of memory"})
    guard = RegressionCallback(fail_on=("regressed", "invalid"))
    trainer = trainer_of(project, callbacks=[guard])
    trainer.train()
    assert trainer.state.global_step == 1
    assert "the look broke: out of memory" in guard.stopped


def test_the_sentence_names_the_last_checkpoint_that_was_sound(project, looks):
    looks.planned += [{"verdicts": (verdict(),)}, {"verdicts": (verdict("regressed"), verdict("regressed"))}]
    guard = RegressionCallback()
    trainer = trainer_of(project, callbacks=[guard], steps=4)
    trainer.train()
    assert trainer.state.global_step == 2
    assert "law/acc regressed (0.9 -> 0.5) against base model and 1 more" in guard.stopped
    assert guard.stopped.endswith("; checkpoint-1 was still sound")


def test_without_stop_it_only_tells(project, looks):
    looks.planned.append({"verdicts": (verdict("regressed"),)})
    guard = RegressionCallback(stop=False)
    trainer = trainer_of(project, callbacks=[guard])
    trainer.train()
    assert trainer.state.global_step == 2
    assert looks.asked[0]["alpha"] == 0.025


@pytest.mark.parametrize(
    ("settings", "every", "planned"),
    [({"save_steps": 3}, 1, 4), ({"save_steps": 3}, 2, 2), ({"save_strategy": "epoch"}, 1, 5)],
)
def test_as_many_looks_are_made_as_share_alpha(project, looks, settings, every, planned):
    guard = RegressionCallback(every=every)
    trainer = trainer_of(project, callbacks=[guard], steps=10, **settings)
    trainer.train()
    assert guard.planned == planned == len(looks.asked)
    assert {asked["alpha"] for asked in looks.asked} == {0.05 / planned}


def test_a_save_beyond_the_plan_has_no_alpha_left_and_is_not_judged(project, looks, capsys):
    guard = RegressionCallback()
    trainer = trainer_of(project, callbacks=[guard], save_steps=2)
    trainer.train()
    guard.on_save(trainer.args, trainer.state, trainer.control)
    assert len(looks.asked) == 1
    assert "was saved beyond the plan" in capsys.readouterr().err


def test_the_base_is_what_the_model_was_loaded_from_unless_another_is_named(project, looks):
    for named, expected in ((None, str(folder("base"))), ("org/name", "org/name")):
        trainer_of(project, callbacks=[RegressionCallback(base_model=named)]).train()
        assert looks.asked[-1]["settings"].base_model == expected


def test_a_model_from_nowhere_needs_something_to_compare_with(project, looks):
    trainer = trainer_of(project, callbacks=[RegressionCallback()])
    trainer.model.config.name_or_path = ""
    with pytest.raises(UsageError, match="there is nothing to compare with"):
        trainer.train()


def test_a_run_that_saves_nothing_is_refused(project, looks):
    with pytest.raises(UsageError, match="save more often"):
        trainer_of(project, callbacks=[RegressionCallback()], save_strategy="no").train()


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [({"alpha": 1.0}, "alpha is 1.0"), ({"every": 0}, "every is 0"), ({"fail_on": ["worse"]}, "'worse' is no verdict")],
)
def test_wrong_values_are_one_sentence(wrong, sentence):
    with pytest.raises(UsageError, match=sentence):
        RegressionCallback(**wrong)


def test_other_processes_do_not_look_and_stop_with_the_main_one(project, looks, tmp_path):
    trainer = trainer_of(project)
    guard = RegressionCallback()
    guard.on_train_begin(
        trainer.args, SimpleNamespace(is_world_process_zero=False, save_steps=1, max_steps=1), None, trainer.model
    )
    state, control = (
        SimpleNamespace(is_world_process_zero=False, global_step=1),
        SimpleNamespace(should_training_stop=False),
    )
    guard.on_save(trainer.args, state, control)
    assert (looks.asked, control.should_training_stop) == ([], False)
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        assert regression._by_the_main_process(True, trainer.args) is True
        assert regression._by_the_main_process(False, trainer.args) is False
    finally:
        torch.distributed.destroy_process_group()


def test_the_new_process_does_not_take_itself_for_a_part_of_the_run(project, monkeypatch):
    from harness.training import look

    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    status, output = look._run(["env"], project, threads=3)
    names = {line.partition("=")[0] for line in output.splitlines()}
    assert status == 0
    assert not names & {"RANK", "ACCELERATE_MIXED_PRECISION", "PYTEST_CURRENT_TEST"}
    assert "OMP_NUM_THREADS=3" in output.splitlines()


def test_a_disk_that_takes_no_report_breaks_the_look_and_not_the_run(project):
    from harness.training.look import look_at

    asked = Asked(("suites",), None, (), frozenset(), (), project)
    (project / "taken").write_text("a file", encoding="utf-8")
    look = look_at(project, asked, project / "taken" / "report.json", step=1, alpha=0.05, threads=1)
    assert "cannot be written" in look.broken


def test_failed_cases_and_missing_numbers_are_told(tmp_path):
    new = verdict("new", reference="", reference_value=None, drop=None, value="NaN")
    look = Look(3, tmp_path / "a.json", (new,), failed=("suites/test_stopping.py::test_it_stops",))
    lines = list(told(look, seconds=7.2))
    assert lines[0] == "law/acc new, as it is"
    assert lines[1].startswith("1 cases failed, suites/test_stopping.py::test_it_stops first; see ")
    assert numbers_of(look) == {"regression/regressed": 0.0, "regression/broken": 0.0}
