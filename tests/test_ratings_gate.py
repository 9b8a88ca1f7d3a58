"""Ratings of people: read, refused, counted, and turned into a measurement that the gate tests by the sign test."""

import csv
import io
import json

import pytest

from harness.errors import DataError
from harness.gate import judge
from harness.ratings.agreement import cohens_kappa
from harness.ratings.filled import read_filled
from harness.ratings.key import write_key
from harness.ratings.preference import preference
from harness.ratings.reading import check_answered_by, read_rated
from harness.ratings.rubric import CRITERIA, Choice
from harness.ratings.sheet import Pair, blinded
from harness.ratings.table import to_csv
from harness.records import Outcome, Reference
from harness.statistics import mcnemar_p

MODELS = {"tuned": {"name": "t", "weights": "aa"}, "base": {"name": "b", "weights": "bb"}}
PAIRS = [Pair(f"q{n:02}", f"question {n}", f"tuned {n}", f"base {n}") for n in range(40)]
L, R, T = Choice.LEFT, Choice.RIGHT, Choice.TIE


@pytest.fixture
def sheet(tmp_path):
    made = blinded("set", PAIRS, MODELS, "s")
    write_key(made, tmp_path / "key.json")
    return made


def side(item, winner):
    """What a rater writes who prefers the ``tuned`` or the ``base`` answer, or neither."""
    return "tie" if winner == "tie" else "left" if (winner == "tuned") == item.tuned_is_left else "right"


def rated(sheet, winners, name="ada"):
    """A saved file in which the pair of each sample is decided by ``winners``, alike for all criteria."""
    chosen = [(item, winners[item.pair.sample]) for item in sheet.items if winners.get(item.pair.sample)]
    ratings = [
        {"item": item.id, "digest": item.digest} | dict.fromkeys(CRITERIA, side(item, winner))
        for item, winner in chosen
    ]
    return {"format": "pytest-sft ratings", "version": 1, "sheet": sheet.digest, "rater": name, "ratings": ratings}


def winners(tuned, base, tie=0):
    return dict(zip((pair.sample for pair in PAIRS), ["tuned"] * tuned + ["base"] * base + ["tie"] * tie, strict=False))


def write(path, document):
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def verdict_of(found, **numbers):
    reference = Reference("base model's answers", found.base)
    return judge(found.tuned, reference, **{"margin": 0.1, "alpha": 0.05, "comparisons": 1} | numbers)


@pytest.mark.parametrize(
    ("counts", "rate", "outcome"),
    [
        ((36, 4), 0.9, Outcome.IMPROVED),
        ((4, 36), 0.1, Outcome.REGRESSED),
        ((21, 19), 0.525, Outcome.INCONCLUSIVE),
        ((2, 22, 16), 0.25, Outcome.REGRESSED),
        ((5, 5, 30), 0.5, Outcome.INCONCLUSIVE),
    ],
)
def test_the_win_rate_counts_ties_half_and_is_gated(tmp_path, sheet, counts, rate, outcome):
    path = write(tmp_path / "ratings.json", rated(sheet, winners(*counts)))
    found = preference(read_rated([path]), "accuracy")
    assert found.tuned.name == "ratings_accuracy/win_rate"
    assert (found.tuned.value, found.base.value) == pytest.approx((rate, 1 - rate))
    assert verdict_of(found).outcome is outcome


@pytest.mark.parametrize("counts", [(12, 28), (28, 12), (3, 12, 25)])
def test_the_test_of_a_win_rate_is_the_sign_test(tmp_path, sheet, counts):
    path = write(tmp_path / "ratings.json", rated(sheet, winners(*counts)))
    found = verdict_of(preference(read_rated([path]), "fluency"))
    assert found.p == pytest.approx(mcnemar_p(max(counts[:2]), min(counts[:2])))
    assert (len(found.won), len(found.lost)) == counts[:2]


def test_nothing_but_ties_is_no_proof_of_equality_where_the_pairs_are_few(tmp_path, sheet):
    few = read_rated([write(tmp_path / "few.json", rated(sheet, winners(0, 0, 5)))])
    assert verdict_of(preference(few, "safety")).outcome is Outcome.INCONCLUSIVE
    many = read_rated([write(tmp_path / "many.json", rated(sheet, winners(0, 0, 40)))])
    assert verdict_of(preference(many, "safety")).outcome is Outcome.UNCHANGED


def test_a_table_says_the_same_as_a_saved_file_whatever_its_separator(tmp_path, sheet):
    chosen = winners(20, 10, 5)
    saved = preference(read_rated([write(tmp_path / "page.json", rated(sheet, chosen))]), "safety")
    rows = list(csv.DictReader(io.StringIO(to_csv(sheet).removeprefix("\ufeff"), newline="")))
    for row, item in zip(rows, sheet.items, strict=True):
        if winner := chosen.get(item.pair.sample):
            row.update(dict.fromkeys(CRITERIA, f" {side(item, winner).upper()} "))
    for number, (separator, encoding) in enumerate([(",", "utf-8"), (";", "utf-8-sig"), ("\t", "utf-8")]):
        path = tmp_path / f"table{number}.csv"
        with path.open("w", encoding=encoding, newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]), delimiter=separator)
            writer.writeheader()
            writer.writerows(rows)
            stream.write(separator * 10 + "\r\n")  # what a spreadsheet leaves at the end
        again = preference(read_rated([path]), "safety")
        assert again.tuned == saved.tuned
        assert read_filled(path).rater == f"table{number}"


def test_what_was_left_open_is_counted_and_not_averaged(tmp_path, sheet):
    document = rated(sheet, winners(10, 0))
    for rating in document["ratings"][:4]:
        del rating["fluency"]
    read = read_rated([write(tmp_path / "ratings.json", document)])
    assert preference(read, "accuracy").tuned.n == 10
    fluency = preference(read, "fluency")
    assert (fluency.tuned.n, fluency.tuned.value, fluency.tuned.limited) == (6, 1.0, True)
    assert "fluency: ada left 34 of 40 pairs open" in fluency.told
    for rating in document["ratings"]:
        rating.pop("safety")
    assert preference(read_rated([write(tmp_path / "ratings.json", document)]), "safety") is None


def test_pairs_with_one_answer_are_ties(tmp_path):
    sheet = blinded("set", [*PAIRS[:2], Pair("same", "?", "yes", "yes")], MODELS, "s")
    write_key(sheet, tmp_path / "key.json")
    path = write(tmp_path / "ratings.json", rated(sheet, {"q00": "tuned", "q01": "tuned"}))
    found = preference(read_rated([path]), "accuracy")
    assert {name: score.values for name, score in found.tuned.scores.items()} == {
        "q00": (1.0,),
        "q01": (1.0,),
        "same": (0.5,),
    }
    assert any(line.startswith("1 pairs hold the same answer twice") for line in found.told)


def test_two_raters_make_one_score_of_a_pair_and_their_agreement_is_told(tmp_path, sheet):
    one = write(tmp_path / "one.json", rated(sheet, winners(40, 0), "ada"))
    two = write(tmp_path / "two.json", rated(sheet, winners(20, 20), "bob"))
    found = preference(read_rated([two, one]), "relevance")
    assert (found.tuned.n, found.tuned.value) == (40, 0.75)
    assert sorted({score.values[0] for score in found.tuned.scores.values()}) == [0.5, 1.0]
    assert "people:2" in found.tuned.signature
    assert any("ada and bob agree on 50% of 40 pairs: Cohen's kappa" in line for line in found.told)


@pytest.mark.parametrize(
    ("first", "second", "kappa"),
    [
        ([L] * 20 + [L] * 5 + [R] * 10 + [R] * 15, [L] * 20 + [R] * 5 + [L] * 10 + [R] * 15, 0.4),
        ([L, R, T] * 5, [L, R, T] * 5, 1.0),
        ([L, L, R, R], [L, R, L, R], 0.0),
        ([L, R], [R, L], -1.0),
        ([T] * 5, [T] * 5, None),
    ],
)
def test_cohens_kappa(first, second, kappa):
    found = cohens_kappa(first, second)
    assert found.kappa == (kappa if kappa is None else pytest.approx(kappa))
    assert cohens_kappa(second, first).kappa == found.kappa
    assert kappa is None or found.low <= found.kappa <= found.high


def test_raters_who_agree_by_chance_alone_are_told_and_no_others(tmp_path, sheet):
    alternating = {pair.sample: "tuned" if n % 2 else "base" for n, pair in enumerate(PAIRS)}
    halves = {pair.sample: "tuned" if n % 4 < 2 else "base" for n, pair in enumerate(PAIRS)}
    one = write(tmp_path / "one.json", rated(sheet, alternating, "ada"))
    for other, warned in ((halves, True), (alternating, False)):
        two = write(tmp_path / "two.json", rated(sheet, other, "bob"))
        told = preference(read_rated([one, two]), "accuracy").told
        assert any("no more than chance" in line for line in told) is warned


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d["ratings"][3].update(accuracy="better"), r"ratings\[3\]: accuracy is 'better'; write left, right"),
        (lambda d: d["ratings"][3].update(accuracy=5), r"ratings\[3\]: accuracy must be a text, and it is 5"),
        (lambda d: d["ratings"].append(d["ratings"][0]), r"ratings\[40\]: item '\w+' was rated before, at .*\[0\]"),
        (lambda d: d["ratings"][2].update(item="0123456789"), r"ratings\[2\]: item '0123456789' is not on the sheet"),
        (lambda d: d["ratings"][2].update(digest="abc"), r"ratings\[2\]: item '\w+' was rated with other answers"),
        (lambda d: d.update(ratings=[]), "holds no rating yet"),
        (lambda d: [each.update(dict.fromkeys(CRITERIA, "")) for each in d["ratings"]], "holds no rating yet"),
        (lambda d: d.pop("ratings"), "ratings must be a list"),
        (lambda d: d.update(format="x"), "is not a file of pytest-sft ratings"),
        (lambda d: d["ratings"].insert(0, 1), r"ratings\[0\]: a JSON object is expected"),
    ],
)
def test_a_file_of_ratings_that_cannot_be_used_is_told(tmp_path, sheet, change, says):
    document = rated(sheet, winners(40, 0))
    change(document)
    with pytest.raises(DataError, match=says):
        read_rated([write(tmp_path / "ratings.json", document)])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda text: text.replace('"","","","","",""', '"","good","","","",""', 1), "s.csv:2: accuracy is 'good'"),
        (lambda text: text.replace('"accuracy",', ""), "s.csv:1: the table has no column 'accuracy'"),
        (lambda text: text, "s.csv: holds no rating yet"),
        (lambda text: "", "s.csv: holds no rating yet"),
        (lambda text: text + '"unfinished', "not a readable row of a table"),
    ],
)
def test_a_table_that_cannot_be_used_is_told_with_its_line(tmp_path, sheet, change, says):
    (tmp_path / "s.csv").write_text(change(to_csv(sheet)), encoding="utf-8", newline="")
    with pytest.raises(DataError, match=says):
        read_rated([tmp_path / "s.csv"])


def test_a_line_is_counted_in_the_file_also_behind_answers_of_several_lines(tmp_path):
    pairs = [Pair(f"q{n}", "?", f"one\ntwo\nthree {n}", f"base {n}") for n in range(3)]
    sheet = blinded("set", pairs, MODELS, "s")
    write_key(sheet, tmp_path / "key.json")
    lines = to_csv(sheet).removeprefix("\ufeff").split("\r\n")
    lines[3] = lines[3].replace('"","","","","",""', '"5","","","","",""')
    (tmp_path / "s.csv").write_text("\r\n".join(lines), encoding="utf-8", newline="")
    with pytest.raises(DataError, match=r"s\.csv:8: relevance is '5'"):
        read_rated([tmp_path / "s.csv"])


def test_ratings_without_their_key_or_of_two_sheets_or_twice_by_one_are_told(tmp_path, sheet):
    path = write(tmp_path / "ratings.json", rated(sheet, winners(40, 0)))
    again = write(tmp_path / "again.json", rated(sheet, winners(40, 0)))
    with pytest.raises(DataError, match=r"again.json: is by 'ada', as .*ratings.json is"):
        read_rated([path, again])
    with pytest.raises(DataError, match=r"is a folder; name the file of each rater in it"):
        read_rated([tmp_path])
    (tmp_path / "other").mkdir()
    lonely = write(tmp_path / "other" / "ratings.json", rated(sheet, winners(40, 0)))
    with pytest.raises(DataError, match=r"key.json: there is no such file, and without it nothing says which side"):
        read_rated([lonely])
    write_key(blinded("set", PAIRS, MODELS, "another"), tmp_path / "other" / "key.json")
    with pytest.raises(DataError, match="rates another sheet than"):
        read_rated([path, lonely])
    with pytest.raises(DataError, match="is not on the sheet"):
        read_rated([lonely])


@pytest.mark.parametrize(
    ("tuned", "base", "says"),
    [
        ({"weights": "aa"}, {"weights": "bb"}, None),
        ({"weights": "aa", "tokenizer": "new"}, None, None),
        ({"weights": "cc"}, {"weights": "bb"}, "answers of 't' with the weights aa, and --model has cc"),
        ({"weights": "aa", "adapter": "dd"}, None, "with the adapter none, and --model has dd"),
        ({"weights": "aa"}, {"weights": "cc"}, "answers of 'b' with the weights bb, and --base-model has cc"),
    ],
)
def test_ratings_of_another_models_answers_are_told(sheet, tuned, base, says):
    if says is None:
        check_answered_by(sheet, tuned, base, "r.json")
        return
    with pytest.raises(DataError, match=f"r.json: .*{says}"):
        check_answered_by(sheet, tuned, base, "r.json")
