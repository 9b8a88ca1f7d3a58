"""Baselines on disk: what goes in comes out, a damaged file is one sentence, a kill leaves the old or the new."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.baselines import Baseline, load, merge, save
from harness.baselines.store import FORMAT, SAMPLES, SUMMARY
from harness.errors import BaselineError, UsageError
from harness.records import Measurement, SampleScore


def measured(name, rows, **changes):
    scores = {
        f"s{number}": SampleScore(tuple(map(float, row)), "0a1b", "c1" if number % 2 else "")
        for number, row in enumerate(rows)
    }
    value = float(np.mean([row[0] for row in rows]))
    fields = {"chance": 0.25, "limited": False} | changes
    return Measurement(name, name.split("/")[1], value, 0.0123456789, len(rows), "a:b|c:d", True, scores, **fields)


def baseline(directory, *measurements, name="main", weights="w1"):
    environment = {"model": {"name": "demo:tuned", "weights": weights, "template": "t1"}, "date": "2026-07-01"}
    return Baseline(name, directory / name, {"seed": 0}, environment, {each.name: each for each in measurements})


def two(directory, **how):
    acc = measured("知识/acc", [(1,), (0,), (1,)])
    bleu = measured("facts/bleu", np.random.default_rng(0).uniform(0, 9, (4, 3)), chance=None, limited=True)
    return baseline(directory, acc, bleu, **how)


def test_what_is_saved_is_loaded(tmp_path):
    saved = two(tmp_path)
    save(tmp_path, saved)
    loaded = load(tmp_path, "main")
    assert loaded.config == {"seed": 0, "format": FORMAT}
    assert loaded.environment == saved.environment
    assert loaded.origin == f"{tmp_path / 'main' / SUMMARY} (2026-07-01)"
    assert loaded.measurements.keys() == saved.measurements.keys()
    for name, measurement in loaded.measurements.items():
        before = saved.measurements[name]
        assert measurement.value == pytest.approx(before.value, rel=1e-5)
        rounded = {each: tuple(float(f"{v:.10g}") for v in score.values) for each, score in before.scores.items()}
        assert {each: score.values for each, score in measurement.scores.items()} == rounded
        assert replace(measurement, value=0, stderr=0, scores={}) == replace(before, value=0, stderr=0, scores={})
        assert [score.cluster for score in measurement.scores.values()] == [s.cluster for s in before.scores.values()]


def test_a_stored_value_can_be_computed_again_from_the_stored_scores(tmp_path):
    scores = np.random.default_rng(1).normal(size=(500, 1))
    save(tmp_path, baseline(tmp_path, measured("facts/acc", scores)))
    stored = load(tmp_path, "main").measurements["facts/acc"]
    again = np.mean([score.values[0] for _, score in sorted(stored.scores.items())])
    assert float(f"{again:.6g}") == stored.value


def test_files_are_made_for_a_diff(tmp_path):
    folder = save(tmp_path, two(tmp_path))
    summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    assert list(summary) == ["config", "environment", "measurements"]
    assert summary["measurements"]["知识/acc"]["value"] == 0.666667
    lines = (folder / SAMPLES).read_text(encoding="utf-8").splitlines()
    assert lines[4] == '{"measurement": "知识/acc", "id": "s0", "digest": "0a1b", "scores": [1]}'
    assert lines[5] == '{"measurement": "知识/acc", "id": "s1", "digest": "0a1b", "scores": [0], "cluster": "c1"}'


def test_saving_what_was_loaded_changes_no_byte(tmp_path):
    folder = save(tmp_path, two(tmp_path))
    first = {file.name: file.read_bytes() for file in folder.iterdir()}
    save(tmp_path, load(tmp_path, "main"))
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == first


def test_saving_leaves_nothing_else_behind_and_keeps_other_files(tmp_path):
    folder = save(tmp_path, two(tmp_path))
    (folder / "README.md").write_text("why this baseline is here")
    save(tmp_path, two(tmp_path))
    assert [each.name for each in tmp_path.iterdir()] == ["main"]
    assert sorted(each.name for each in folder.iterdir()) == ["README.md", SUMMARY, SAMPLES]


class KillError(BaseException):
    """A kill: nothing catches it."""


@pytest.mark.parametrize("moment", range(4))
def test_a_kill_at_any_moment_leaves_the_old_or_the_new(tmp_path, monkeypatch, moment):
    save(tmp_path, two(tmp_path, weights="old"))
    steps = iter(range(10))

    def killed(step):
        def until(*given, **named):
            if next(steps) == moment:
                raise KillError
            return step(*given, **named)

        return until

    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", killed(lambda descriptor: None))  # moments 0 and 1
        patched.setattr(Path, "rename", killed(Path.rename))  # moments 2 and 3
        with pytest.raises(KillError):
            save(tmp_path, two(tmp_path, weights="new"))
    assert load(tmp_path, "main").environment["model"]["weights"] == "old"
    save(tmp_path, two(tmp_path, weights="new"))
    assert load(tmp_path, "main").environment["model"]["weights"] == "new"
    assert [each.name for each in tmp_path.iterdir()] == ["main"]


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "main").write_text("a file where a folder belongs")
    with pytest.raises(BaselineError, match="cannot be written"):
        save(tmp_path, two(tmp_path))


@pytest.mark.parametrize(
    "broken",
    [
        measured("facts/acc", [(math.nan,), (1.0,)]),
        measured("facts/acc", [(1.0,)], problems=("answers are empty",)),
        replace(measured("facts/acc", [(1.0,), (math.inf,)]), value=0.5),
        replace(measured("facts/acc", [(1.0,)]), scores={}, n=0),
    ],
)
def test_unusable_numbers_are_never_stored(tmp_path, broken):
    with pytest.raises(BaselineError, match=r"facts/acc has no .*: nothing was stored"):
        save(tmp_path, baseline(tmp_path, broken))
    assert list(tmp_path.iterdir()) == []


def test_a_standard_error_that_one_sample_cannot_have_is_stored_as_null(tmp_path):
    folder = save(tmp_path, baseline(tmp_path, replace(measured("facts/acc", [(1.0,)]), stderr=math.nan)))
    assert '"stderr": null' in (folder / SUMMARY).read_text()
    assert math.isnan(load(tmp_path, "main").measurements["facts/acc"].stderr)


def test_an_absent_baseline_tells_which_exist_and_how_to_record(tmp_path):
    save(tmp_path, two(tmp_path, name="release-1"))
    with pytest.raises(
        BaselineError, match=r"no baseline 'main' .*there are release-1.*--baseline main --baseline-upd"
    ):
        load(tmp_path, "main")
    with pytest.raises(BaselineError, match="none is there yet"):
        load(tmp_path / "nowhere", "main")


@pytest.mark.parametrize("name", ["", ".", "..", "../main", "a/b", "a\\b", ".main", "a\0b", "/main", "a\nb"])
def test_a_name_that_leaves_the_folder_is_refused(tmp_path, name):
    with pytest.raises(BaselineError, match="cannot name a baseline"):
        load(tmp_path, name)
    with pytest.raises(BaselineError, match="cannot name a baseline"):
        save(tmp_path, replace(two(tmp_path), name=name))


def change(path, **values):
    """An edit of baseline.json: the dotted path's object gets these values; None removes one."""

    def edit(content):
        place = content
        for key in path:
            place = place[key]
        for key, value in values.items():
            if value is None:
                del place[key]
            else:
                place[key] = value

    return edit


ACC = ("measurements", "知识/acc")


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (change(("config",), format=FORMAT + 1), "has format 2, and this package reads 1"),
        (change(("config",), format="1"), "format must be a whole number"),
        (change(("config",), format=None), "the key 'format' is missing"),
        (change((), environment=None), "the key 'environment' is missing"),
        (change((), measurements=[]), "measurements: an object is needed, not a list"),
        (change(ACC, value="high"), 'acc: value must be a finite number, not "high"'),
        (change(ACC, value=True), "value must be a finite number, not true"),
        (change(ACC, value=10**400), "value must be a finite number"),
        (change(ACC, higher_is_better=1), "higher_is_better must be true or false, not 1"),
        (change(ACC, n=7), "n is 7 samples of one shape, but samples.jsonl has 3"),
        (change(ACC, signature=None), "the key 'signature' is missing"),
        (change(("measurements",), **{"知识/acc": None}), "has samples of '知识/acc', which baseline.json lacks"),
    ],
)
def test_a_wrong_summary_is_one_sentence_with_its_place(tmp_path, edit, said):
    file = save(tmp_path, two(tmp_path)) / SUMMARY
    content = json.loads(file.read_text(encoding="utf-8"))
    edit(content)
    file.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(BaselineError, match="baseline-update") as caught:
        load(tmp_path, "main")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "samples.jsonl line 8 column 2: no valid JSON"),
        ("", "no valid JSON"),
        ("[" * 100_000, "no readable JSON"),
        ("[1]", "an object is needed"),
        ('{"measurement": "知识/acc", "id": "s0", "digest": "d", "scores": [1]}', "is there twice"),
        ('{"measurement": "知识/acc", "id": "s9", "digest": "d", "scores": []}', "must be a list of numbers"),
        ('{"measurement": "知识/acc", "id": "s9", "digest": "d", "scores": [NaN]}', "NaN is not a number"),
        ('{"measurement": "知识/acc", "id": "s9", "digest": "d", "scores": [1, 2]}', "of one shape"),
        ('{"measurement": "知识/acc", "id": "s9", "digest": "d", "scores": [1]}', "has 4 with 1 scores each"),
        ('{"measurement": "x/acc", "id": "s9", "digest": "d", "scores": [1]}', "has samples of 'x/acc'"),
    ],
)
def test_a_wrong_line_of_samples_is_one_sentence_with_its_place(tmp_path, line, said):
    file = save(tmp_path, two(tmp_path)) / SAMPLES
    file.write_text(file.read_text(encoding="utf-8") + line + "\n", encoding="utf-8")
    with pytest.raises(BaselineError, match="restore it from version control") as caught:
        load(tmp_path, "main")
    assert said in str(caught.value)


def test_half_a_baseline_is_an_error(tmp_path):
    (save(tmp_path, two(tmp_path)) / SAMPLES).unlink()
    with pytest.raises(BaselineError, match=r"samples\.jsonl: it is not there"):
        load(tmp_path, "main")


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    directory = tmp_path_factory.mktemp("baselines")
    folder = save(directory, two(directory))
    return folder, {file: (folder / file).read_bytes() for file in (SUMMARY, SAMPLES)}


@given(
    file=st.sampled_from([SUMMARY, SAMPLES]),
    cut=st.floats(0, 1),
    damage=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), max_size=3),
)
@settings(max_examples=150, deadline=None)
def test_damage_of_any_kind_loads_or_is_a_clear_error(stored, file, cut, damage):
    folder, whole = stored
    for name, content in whole.items():
        (folder / name).write_bytes(content)
    broken = bytearray(whole[file][: round(cut * len(whole[file]))] if cut < 0.7 else whole[file])
    for place, byte in damage if broken else ():
        broken[int(place * len(broken))] = byte
    (folder / file).write_bytes(broken)
    try:
        load(folder.parent, "main")
    except BaselineError as error:
        assert len(str(error)) < 600  # noqa: PT017 - damage may also go unnoticed: one digit for another


def test_recording_overwrites_what_was_measured_and_keeps_the_rest_of_the_same_model(tmp_path):
    old = baseline(tmp_path, measured("a/acc", [(0,)]), measured("b/acc", [(0,)]))
    new = baseline(tmp_path, measured("b/acc", [(1,)]), measured("c/acc", [(1,)]))
    values = {name: each.value for name, each in merge(old, new, only_new=False).measurements.items()}
    assert values == {"a/acc": 0, "b/acc": 1, "c/acc": 1}
    values = {name: each.value for name, each in merge(old, new, only_new=True).measurements.items()}
    assert values == {"a/acc": 0, "b/acc": 0, "c/acc": 1}


def test_one_baseline_never_holds_two_models(tmp_path):
    old = baseline(tmp_path, measured("a/acc", [(0,)]), measured("b/acc", [(0,)]))
    other = baseline(tmp_path, measured("b/acc", [(1,)]), measured("c/acc", [(1,)]), weights="w2")
    for only_new in (False, True):
        with pytest.raises(UsageError, match="record the whole baseline again"):
            merge(old, other, only_new=only_new)
    unknown = replace(other, environment={})
    with pytest.raises(UsageError, match="another model"):
        merge(old, unknown, only_new=False)


def test_another_model_may_replace_the_whole_baseline(tmp_path):
    old = baseline(tmp_path, measured("a/acc", [(0,)]))
    other = baseline(tmp_path, measured("a/acc", [(1,)]), weights="w2")
    assert merge(old, other, only_new=False).measurements["a/acc"].value == 1
    assert merge(old, other, only_new=True) == old


def test_what_either_side_measured_can_still_be_missed(tmp_path):
    old = replace(
        baseline(tmp_path, measured("a/acc", [(0,)]), measured("b/acc", [(0,)])),
        config={"suites": {"forgetting": ["a/acc", "gone/acc"], "quality": ["b/acc"]}},
    )
    new = replace(baseline(tmp_path, measured("c/acc", [(1,)])), config={"suites": {"quality": ["c/acc"]}})
    for only_new in (True, False):
        suites = merge(old, new, only_new=only_new).config["suites"]
        assert suites == {"forgetting": ["a/acc"], "quality": ["b/acc", "c/acc"]}
