"""The noise floor: measured in two batches, kept under what it depends on, and loud where scores really change."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from harness.engine.batches import Budget
from harness.metrics.noise_floor import NoiseFloor, noise_floor, scores_depend_on_their_batch, stored_noise_floor
from harness.models.fetch import Access
from harness.models.load import LoadOptions, load
from harness.models.local import LocalModel
from harness.records import Sample, SampleSet
from harness.references import parse_reference
from harness.store import Store


def questions(n):
    return SampleSet(
        "colours",
        tuple(
            Sample(f"q{number:03}", f"Thing {number} is", (), "d", choices=("red", "deep blue", "green"), target=0)
            for number in range(n)
        ),
    )


class Misread(LocalModel):
    """In a batch, the first choice of a question gets what belongs to the second."""

    def loglikelihood(self, pairs):
        replies = super().loglikelihood(pairs)
        if self.budget.rows == 1:
            return replies
        return [replace(reply, total=reply.total + 9 * (number % 3 == 2)) for number, reply in enumerate(replies)]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load(parse_reference("demo:base"), LoadOptions(Access(tmp_path_factory.mktemp("cache"), True)))


def floor_of(model, n=70):
    return noise_floor(model, replace(model, budget=Budget(1, rows=1)), questions(n), dtype="torch.float32")


def test_a_sound_engine_has_a_floor_of_rounding(model):
    floor = floor_of(model)
    assert 24 <= floor.questions <= 32
    assert (floor.flips, floor.clear) == (0, ())
    assert floor.nats < 1e-3
    assert scores_depend_on_their_batch(floor, "colours") == []
    assert floor_of(model, n=3).questions == 3


def test_an_engine_that_mixes_up_a_batch_is_found(model):
    floor = floor_of(Misread(model.name, model.weights, model.tokenizer, model.stop_ids, model.budget))
    assert floor.flips > floor.questions / 2
    (finding,) = scores_depend_on_their_batch(floor, "colours")
    assert "scores depend on the batch" in str(finding)
    assert f"{floor.flips} of {floor.questions} questions flip" in finding.found


def test_a_floor_is_measured_once_under_what_it_depends_on(tmp_path):
    measured = []

    def measure():
        measured.append(1)
        return NoiseFloor(32, 1, 2e-5, ("q1",))

    first = stored_noise_floor(Store(tmp_path), ["weights", "cpu"], measure)
    later = stored_noise_floor(Store(tmp_path), ["weights", "cpu"], measure)
    assert later == first == NoiseFloor(32, 1, 2e-5, ("q1",))
    assert len(measured) == 1
    stored_noise_floor(Store(tmp_path), ["weights", "cuda:0"], measure)
    assert len(measured) == 2


def test_a_floor_that_cannot_be_kept_is_measured_and_said(tmp_path):
    (tmp_path / "no folder").touch()
    store = Store(tmp_path / "no folder" / "answers")
    assert stored_noise_floor(store, ["weights"], lambda: NoiseFloor(32, 0, 1e-6)) == NoiseFloor(32, 0, 1e-6)
    (note,) = store.notes
    assert "Not a directory" in note


def test_the_floor_is_in_the_report_and_in_the_baseline(pytester):
    pytester.makeconftest('pytest_plugins = ["harness.plugin"]')
    pytester.mkdir("data").joinpath("general_knowledge.jsonl").write_text(
        "".join(
            json.dumps({"id": n, "prompt": f"Thing {n} is", "choices": ["red", "blue"], "target": n % 2}) + "\n"
            for n in range(12)
        ),
        encoding="utf-8",
    )
    pytester.makepyfile(
        test_it="def test_it(noise_floor, questions, gate, model):\n"
        "    from harness import acc\n"
        "    noise_floor(questions)\n"
        "    gate(acc(model, questions))\n"
    )
    result = pytester.runpytest_subprocess("--model", "demo:base", "--baseline-update", "--cache-dir", "cache")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*noise floor*general_knowledge: 0 of 12 questions flip in another batch*"])
    stored = json.loads((pytester.path / "baselines" / "main" / "baseline.json").read_text(encoding="utf-8"))
    assert stored["environment"]["noise_floor"]["general_knowledge"].startswith("0 of 12 questions flip")
