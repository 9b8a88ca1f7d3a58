"""The calibration: simulated runs tell a sound gate from an unsound one, and the command writes what they tell."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from harness.__main__ import main
from harness.calibration import checks, whole_gate
from harness.calibration.exchange import Deck
from harness.calibration.gate import Gate, last_and_first
from harness.calibration.made_up import flipped, measured, releases
from harness.calibration.rates import Rate
from harness.calibration.same_model import compared_with
from harness.calibration.whole_gate import Gated, calibrate
from harness.gate import drift
from harness.gate import judge as sound_judge
from harness.records import Measurement, SampleScore


def ratio(rows):
    return float(rows[:, 0].sum() / rows[:, 1].sum())


def corpus(random, n=80, name="prose/bits_per_byte"):
    """Bits and bytes of n texts; fewer bits are better."""
    rows = np.column_stack([random.normal(60, 9, n), random.integers(40, 60, n)])
    return Measurement(
        name=name,
        metric="bits_per_byte",
        value=ratio(rows),
        stderr=0.01,
        n=n,
        signature="level:corpus",
        higher_is_better=False,
        scores={f"{number:03}": SampleScore(tuple(row), "d") for number, row in enumerate(rows.tolist())},
        aggregate=ratio,
    )


def means(random, n=80, name="quality/rouge1"):
    scores = random.random(n)
    return replace(
        measured(np.ones(n), name=name),
        metric="rouge1",
        value=float(scores.mean()),
        scores={f"{number:05}": SampleScore((score,), "d") for number, score in enumerate(scores.tolist())},
    )


def family(count=4):
    random = np.random.default_rng(3)
    pairs = [flipped(random, 120, 0.2, 0.0) for _ in range(count)]
    gated = [
        Gated("forgetting", replace(after, name=f"{number}/acc"), replace(before, name=f"{number}/acc"), 0.02)
        for number, (before, after) in enumerate(pairs)
    ]
    return [
        *gated,
        Gated("forgetting", corpus(random), corpus(random), 0.02),
        Gated("quality", means(random), means(random), 0.02),
    ]


def test_a_rate_knows_what_it_can_say():
    rate = Rate(3, 100)
    assert rate.interval == pytest.approx((0.0062, 0.0852), abs=1e-3)  # Clopper and Pearson's table
    assert str(rate) == "3.0% (3 of 100, 95 % interval 0.6% to 8.5%)"
    assert not rate.clearly_above(0.01)
    assert Rate(30, 100).clearly_above(0.05)
    assert Rate(30, 100).clearly_below(0.75)


@pytest.mark.parametrize("make", [corpus, means], ids=["corpus", "mean"])
def test_a_loaded_coin_makes_the_drop_that_is_asked_for(make):
    random = np.random.default_rng(1)
    deck = Deck.of(make(random), make(random))
    assert deck.drop(0.5) == pytest.approx(0.0, abs=0.2 * deck.drop(1.0))
    wanted = 0.4 * deck.drop(1.0)
    coin = deck.coin_for(wanted)
    assert 0.6 < coin < 0.8
    assert deck.drop(coin) == pytest.approx(wanted, rel=0.05)
    assert deck.coin_for(2 * deck.drop(1.0)) is None


def test_samples_of_a_cluster_are_dealt_together():
    before, after = flipped(np.random.default_rng(2), 60, 0.9, 0.0)
    grouped = [
        replace(
            each,
            scores={name: replace(score, cluster=f"c{int(name) // 3}") for name, score in each.scores.items()},
        )
        for each in (before, after)
    ]
    deck = Deck.of(*grouped)
    first, _ = deck.deal(np.random.default_rng(0), 0.5)
    came_first = {name: score.values == before.scores[name].values for name, score in first.scores.items()}
    differ = [name for name in before.scores if before.scores[name].values != after.scores[name].values]
    groups = {}
    for name in differ:
        groups.setdefault(int(name) // 3, set()).add(came_first[name])
    assert all(len(sides) == 1 for sides in groups.values())
    assert {True, False} == set().union(*groups.values())


def test_the_gate_is_calibrated_on_scores_of_every_kind():
    found = calibrate(family(), alpha=0.05, runs=120, tried=80, track=range(120))
    assert not found.family.clearly_above(0.05)
    assert set(found.suites) == {"forgetting", "quality"}
    powers = [each.power for each in found.comparisons if each.power is not None]
    assert len(powers) >= 5
    assert not any(power.clearly_below(0.75) for power in powers)


def test_a_gate_that_forgets_how_many_it_compares_is_found_out(monkeypatch):
    monkeypatch.setattr(
        whole_gate, "judge", lambda *args, comparisons, **settings: sound_judge(*args, comparisons=1, **settings)
    )
    monkeypatch.setattr(whole_gate, "judged_together", lambda verdicts, **_: verdicts)
    found = calibrate(family(12), alpha=0.05, runs=120, tried=20, track=range(120))
    assert found.family.clearly_above(0.05)


def test_what_is_printed_as_detectable_is_caught_where_hardly_anything_flips():
    before, after = flipped(np.random.default_rng(5), 287, 0.015, 0.0)
    clusters = {name: f"c{int(name) // 2}" if int(name) < 40 else "" for name in before.scores}
    before, after = (
        replace(each, scores={n: replace(score, cluster=clusters[n]) for n, score in each.scores.items()})
        for each in (before, after)
    )
    (found,) = calibrate(
        [Gated("forgetting", after, before, 0.02)], alpha=0.004, runs=40, tried=150, track=range(40)
    ).comparisons
    assert not found.power.clearly_below(0.75)


def test_every_check_of_a_gate_is_silent_on_this_one():
    assert {name: check(Gate()) for name, check in checks.GATE.items() if check(Gate())} == {}


def test_slow_drift_is_seen_against_the_anchor():
    chain = releases(np.random.default_rng(0), count=12, n=1_000, step=0.004, discordant=0.01)
    assert chain[0].value - chain[-1].value == pytest.approx(0.048, abs=0.02)
    assert last_and_first(chain) == (chain[-1], chain[0])
    assert last_and_first(chain[:1]) == (chain[0],)


def test_a_model_measured_again_has_no_alarm_and_a_worse_one_has():
    right, worse = np.ones(200), np.where(np.arange(200) < 30, 0.0, 1.0)
    first, allowed = {"questions/acc": measured(right)}, {"questions/acc": 0.02}
    same = compared_with(
        first, {"questions/acc": measured(right), "other/acc": measured(right)}, margins=allowed, alpha=0.05
    )
    assert (same.measurements, same.scores, same.flips, same.largest_drop, same.alarms) == (1, 200, 0, 0.0, ())
    fallen = compared_with(first, {"questions/acc": measured(worse)}, margins=allowed, alpha=0.05)
    assert (fallen.flips, fallen.alarms) == (30, ("questions/acc",))


def test_only_what_moves_scores_by_itself_is_drift():
    here = {"dtype": "float32", "device": "cpu"}
    assert drift(here, here | {"device": "cuda:0"}) == ""
    assert drift({}, here) == drift(here, {}) == ""
    assert drift(here, here | {"dtype": "bfloat16"}).startswith("dtype float32 -> bfloat16; run with --dtype float32")
    half = {"dtype": "bfloat16", "device": "cuda:0"}
    assert drift(half, half | {"device": "cuda:1"}) == ""
    assert drift(half, half | {"device": "cpu"}).startswith("device cuda -> cpu in bfloat16")


def test_another_precision_is_not_comparable(pytester, monkeypatch):
    pytester.makeconftest('pytest_plugins = ["harness.plugin"]')
    pytester.makepyfile(
        test_it="import numpy as np\n"
        "from harness.calibration.made_up import measured\n"
        "from harness.plugin.state import PROCESS\n"
        "def test_it(gate, pytestconfig):\n"
        "    pytestconfig.stash[PROCESS].environment['dtype'] = __import__('os').environ['ASKED_DTYPE']\n"
        "    gate(measured(np.ones(50)))\n"
    )
    monkeypatch.setenv("ASKED_DTYPE", "float32")
    assert pytester.runpytest_subprocess("--baseline", "main", "--baseline-update").ret == 0
    assert pytester.runpytest_subprocess("--baseline", "main").ret == 0
    monkeypatch.setenv("ASKED_DTYPE", "bfloat16")
    result = pytester.runpytest_subprocess("--baseline", "main")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*questions acc not comparable: dtype float32 -> bfloat16; run with --dtype float32*"])


def test_the_command_writes_its_page(tmp_path, capsys):
    page = tmp_path / "calibration.md"
    status = main(
        [
            "calibrate",
            "--runs",
            "20",
            "--drops",
            "20",
            "--output",
            str(page),
            "suites/test_stopping.py",
            "--model",
            "demo:tuned",
        ]
    )
    assert status == 0
    text = page.read_text(encoding="utf-8")
    assert "python -m harness calibrate --runs 20 --drops 20" in text
    assert "| the same again | 2 | 0 | 144 | 0 | 0 | none |" in text
    assert "stopping/stop_rate" in text
    assert re.search(r"anything at all regressed, alpha 0\.05: \d\.\d% \([012] of 20", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--alpha", "0.7", "suites/"], "a significance level lies between"),
        (["--output", "nowhere/page.md", "suites/"], "name a file in a folder that is there"),
        (["suites/test_stopping.py", "--model", "nothing/here/at-all"], "nothing/here/at-all"),
        (["--", "--model", "nothing/here/at-all"], "nothing/here/at-all"),
        (["suites/test_template.py", "--model", "demo:tuned"], "compares nothing with a base model"),
    ],
)
def test_what_cannot_be_calibrated_is_said_in_a_sentence(arguments, sentence, capsys):
    assert main(["calibrate", *arguments]) == 2
    assert sentence in capsys.readouterr().err.replace("\n", " ")
