"""Stop strings: what they leave of an answer is what lm-eval's ``generate_until`` leaves of it, whatever the batch."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.errors import UsageError
from harness.metrics.stopping import ends_in_a_loop
from harness.models.base import Completion
from harness.models.fetch import Access
from harness.models.load import LoadOptions, load
from harness.models.stop_strings import StopStrings
from harness.references import parse_reference

PROMPTS = [
    "The capital of France is",
    "Question: Who are you?\nAnswer:",
    "海边的大门",
    "The old man opened the gate and",
    "One, two, three,",
    "<|im_start|>user\nHi!<|im_end|>\n<|im_start|>assistant\n",
]
NEW = 48


@pytest.fixture(scope="module", params=["base", "tuned"])
def model(request, tmp_path_factory):
    return load(parse_reference(f"demo:{request.param}"), LoadOptions(Access(tmp_path_factory.mktemp("cache"), True)))


def stop_lists(model):
    """Pieces of what the model really says: the middle of a word, a few words, a character; and what it never says."""
    said = model.generate(PROMPTS, max_new_tokens=NEW)
    long = max((answer.text for answer in said), key=len)
    pieces = [long[9:12], long[20:32], long[-1], said[2].text[3:5]]
    return [(piece,) for piece in pieces if piece] + [
        tuple(filter(None, pieces)),
        ("<|im_end|>", "Question:"),
        ("qqq",),
    ]


def test_answers_are_those_of_lm_eval(model):
    instance = pytest.importorskip("lm_eval.api.instance").Instance
    theirs = pytest.importorskip("lm_eval.models.huggingface").HFLM(
        pretrained=model.module, tokenizer=model.tokenizer, batch_size=1, device="cpu"
    )
    seen = set()
    for stop in stop_lists(model):
        settings = {"until": list(stop), "max_gen_toks": NEW, "do_sample": False}
        requests = [instance("generate_until", {}, (prompt, settings), 0) for prompt in PROMPTS]
        ours = model.generate(PROMPTS, max_new_tokens=NEW, stop=stop)
        assert [answer.text for answer in ours] == theirs.generate_until(requests, disable_tqdm=True)
        seen |= {answer.finish for answer in ours}
    assert seen >= {"stop", "length"} | ({"terminator"} if model.name == "demo:tuned" else set())


def test_no_row_of_a_batch_decides_where_another_ends(model):
    alone = replace(model, budget=replace(model.budget, rows=1))
    for stop in stop_lists(model):
        together = model.generate(PROMPTS, max_new_tokens=NEW, stop=stop)
        assert together == alone.generate(PROMPTS, max_new_tokens=NEW, stop=stop)


def test_an_answer_ends_with_the_token_that_completes_a_stop_string(model):
    free = model.generate(PROMPTS, max_new_tokens=NEW)
    whole = max(free, key=lambda answer: len(answer.text))
    wanted = whole.text[12:18]
    (answer,) = model.generate([PROMPTS[free.index(whole)]], max_new_tokens=NEW, stop=[wanted])
    assert answer.finish == "stop"
    assert answer.text == whole.text[: whole.text.index(wanted)]
    assert answer.ids == whole.ids[: len(answer.ids)]
    assert wanted in answer.raw
    assert wanted not in model.tokenizer.decode(answer.ids[:-1])


def test_every_spelling_of_a_stop_string_ends_an_answer(model):
    """One token a byte is the longest that there is, and the window is as long."""
    stop = StopStrings(model.tokenizer, ("Question: 海",))
    by_byte = [model.tokenizer.encode(letter, add_special_tokens=False) for letter in "Well. Question: 海"]
    ids = [token for letter in by_byte for token in letter]
    assert not any(stop.end(ids[:place]) for place in range(1, len(ids)))
    assert stop.end(ids)


def test_the_first_of_several_stop_strings_cuts_as_lm_eval_cuts(model):
    stop = StopStrings(model.tokenizer, ("b", "ab"))
    answer = stop.cut(Completion("xab", "xab", (1, 2, 3), "length"))
    assert (answer.text, answer.finish) == ("xa", "stop")  # "ab" is no longer whole once "b" has cut


def test_an_answer_without_a_stop_string_stays_as_it_is(model):
    answer = Completion("x", "x", (1,), "terminator")
    assert StopStrings(model.tokenizer, ("b",)).cut(answer) is answer


def test_an_empty_stop_string_is_refused(model):
    with pytest.raises(UsageError, match=r"stop string is empty"):
        model.generate(PROMPTS, max_new_tokens=2, stop=["x", ""])


def test_an_answer_that_a_stop_string_ended_is_no_loop():
    assert ends_in_a_loop(Completion("", "", (7,) * 40, "length"))
    assert not ends_in_a_loop(Completion("", "", (7,) * 40, "stop"))
