"""A sheet: what raters see, what they must not be able to see, and what comes back from its private record."""

import csv
import io
import json
import re
from dataclasses import replace

import pytest

from fake_model import completion, sample, sample_set
from harness.errors import DataError
from harness.ratings.key import read_key, write_key
from harness.ratings.page import to_page
from harness.ratings.rubric import CRITERIA
from harness.ratings.sheet import Pair, blinded, pairs_of
from harness.ratings.table import to_csv

MODELS = {"tuned": {"name": "the-tuned-one", "weights": "aa"}, "base": {"name": "the-base-one", "weights": "bb"}}
HOSTILE = (
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<!--",
    "@SCRIPT@ @SHEET@",
    '=HYPERLINK("http://127.0.0.1")',
    "+1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "  =1",
    "القاهرة \u202e gnp",
    'a "quoted"; line\r\nand, another\x00',
)


def sheet_of(count=40, secret="s"):
    pairs = [Pair(f"q{n}", f"question {n}", f"tuned {n}", f"base {n}") for n in range(count)]
    return blinded("set", pairs, MODELS, secret)


def hostile_sheet():
    return blinded("set", [Pair(f"q{n}", text, text, f"base {n}") for n, text in enumerate(HOSTILE)], MODELS, "s")


def embedded(page):
    return json.loads(re.search(r'<script type="application/json" id="sheet">(.*?)</script>', page, re.S)[1])


def test_sides_and_order_are_shuffled_and_every_model_is_on_the_left_in_half_of_the_pairs():
    sheet = sheet_of()
    assert sum(item.tuned_is_left for item in sheet.items) == 20
    assert [item.pair.sample for item in sheet.items] != [f"q{n}" for n in range(40)]
    assert len({item.id for item in sheet.items}) == 40
    sides = "".join("LR"[item.tuned_is_left] for item in sheet.items)
    assert sides not in ("LR" * 20, "RL" * 20, "L" * 20 + "R" * 20, "R" * 20 + "L" * 20)


def test_the_secret_alone_decides():
    assert sheet_of(secret="one") == sheet_of(secret="one")
    assert [item.tuned_is_left for item in sheet_of(secret="one").items] != [
        item.tuned_is_left for item in sheet_of(secret="two").items
    ]


def test_neither_page_nor_table_tells_which_side_is_whose():
    pairs = [Pair(f"q{n}", "?", "one", "other") for n in range(20)]
    seen = set()
    for secret in ("first", "second"):
        sheet = blinded("set", pairs, MODELS, secret)
        for text in (to_page(sheet), to_csv(sheet)):
            assert not re.search("the-tuned-one|the-base-one|\\bq\\d+\\b|tuned", text)
        seen.add(tuple(item.digest for item in sheet.items))
    assert len(set.union(*map(set, seen))) == 2  # a digest names what is seen, and nothing else


def test_pairs_with_the_same_answer_twice_are_not_asked():
    pairs = [Pair("same", "?", "yes\n", "yes"), Pair("other", "?", "yes", "no")]
    sheet = blinded("set", pairs, MODELS, "s")
    assert [item.pair.sample for item in sheet.items] == ["other"]
    assert [pair.sample for pair in sheet.same] == ["same"]
    with pytest.raises(DataError, match="same answer to all 1 samples"):
        blinded("set", pairs[:1], MODELS, "s")


def test_a_conversation_is_shown_with_its_roles():
    asked = sample_set(sample("one"), sample("two"))
    messages = ({"role": "system", "content": "be brief"}, {"role": "user", "content": "two"})
    longer = replace(asked.samples[1], messages=messages)
    both = sample_set(asked.samples[0], longer)
    answers = {"one": completion("1"), "two": completion("2")}
    assert [pair.prompt for pair in pairs_of(both, answers, answers)] == ["one", "system: be brief\n\nuser: two"]


def test_a_key_reads_back_as_the_sheet_that_it_was(tmp_path):
    sheet = hostile_sheet()
    write_key(sheet, tmp_path / "key.json")
    assert read_key(tmp_path / "key.json") == sheet


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda key: key["items"].pop(), "its items are not those that it was written with"),
        (lambda key: key["items"][0].update(tuned="better"), "its items are not those"),
        (lambda key: key["items"][0].update(left="middle"), r"items\[0\]: left is 'middle'"),
        (lambda key: key["items"][1].pop("prompt"), r"items\[1\]: prompt must be a text, and it is missing"),
        (lambda key: key.update(items={}), "items must be a list"),
        (lambda key: key.update(version=9), "has version 9, and 1 is read here"),
        (lambda key: key.update(format="other"), "is not a file of pytest-sft rating key"),
        (lambda key: key["models"].pop("base"), "models, base: a JSON object is expected"),
    ],
)
def test_a_key_that_was_changed_is_told(tmp_path, change, says):
    write_key(sheet_of(4), tmp_path / "key.json")
    key = json.loads((tmp_path / "key.json").read_text(encoding="utf-8"))
    change(key)
    (tmp_path / "key.json").write_text(json.dumps(key), encoding="utf-8")
    with pytest.raises(DataError, match=says):
        read_key(tmp_path / "key.json")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"{", "key.json:1: not valid JSON"),
        (b"\xff", "not UTF-8 at byte 0"),
        (b"[" * 100_000, "too deep"),
        (b"[]", "a JSON object is expected"),
    ],
)
def test_a_key_that_is_none_is_told(tmp_path, content, says):
    (tmp_path / "key.json").write_bytes(content)
    with pytest.raises(DataError, match=says):
        read_key(tmp_path / "key.json")


def test_no_text_of_a_model_is_markup_in_the_page():
    page = to_page(hostile_sheet())
    assert page.count("<script") == 2
    assert page.count("</script>") == 2
    assert "<img" not in page
    assert "<!--" not in page
    shown = {item["left"] for item in embedded(page)["items"]} | {item["right"] for item in embedded(page)["items"]}
    assert shown >= set(HOSTILE)


def test_the_page_runs_its_own_script_alone_and_asks_no_network():
    page = to_page(sheet_of(2))
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    assert "default-src &#x27;none&#x27;" in policy
    assert "unsafe" not in policy
    assert not re.search(r"(src|href)\s*=\s*[\"']|https?://|@import|\bfetch\(|XMLHttpRequest|innerHTML", page)


def test_the_page_has_every_criterion_and_texts_find_their_own_direction():
    page = to_page(sheet_of(2))
    assert embedded(page)["criteria"] == dict(CRITERIA)
    for name in ("prompt", "left", "right"):
        assert f'id="{name}" class="text" dir="auto"' in page


def test_a_spreadsheet_computes_nothing_of_what_a_model_wrote():
    rows = list(csv.DictReader(io.StringIO(to_csv(hostile_sheet()).removeprefix("\ufeff"), newline="")))
    assert len(rows) == len(HOSTILE)
    for row in rows:
        for name in ("prompt", "left", "right"):
            assert not row[name].lstrip(" \n").startswith(("=", "+", "-", "@", "\t", "\r")), row[name]
            assert "\0" not in row[name]
    assert "القاهرة \u202e gnp" in {row["prompt"] for row in rows}
