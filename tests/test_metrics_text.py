"""The text metrics: equal to the libraries, right in every script, honest about broken runs."""

from __future__ import annotations

import random

import pytest
import sacrebleu
from rouge_score.rouge_scorer import RougeScorer
from rouge_score.tokenize import tokenize

from fake_model import FakeModel, answered, completion, sample, sample_set
from harness.errors import DataError
from harness.metrics import METRICS, bleu, chrf, exact_match, rouge1, rougeLsum
from harness.metrics.answers import answer_limit
from harness.metrics.script import ScriptTokenizer
from harness.metrics.text_scores import BLEU, CHRF, EXACT_MATCH, ROUGE, TER, bleu_tokenizer
from harness.metrics.token_scores import LENGTH_ERROR, TOKEN_F1

RULES = {rule.name: rule for rule in (BLEU, CHRF, TER, *ROUGE, TOKEN_F1, EXACT_MATCH, LENGTH_ERROR)}
TEXT_METRICS = list(RULES)
ENGLISH = [
    ("The cat sat on the mat.", ["The cat is on the mat.", "There's a cat on the mat."]),
    ("It costs 3,500.25 dollars & more", ["It costs 3,500.25 dollars &amp; less", "The price: 3,500.25 dollars"]),
    ("A naïve café\nwith two lines.", ["A naive café\nwith “two” lines — yes.", "One line"]),
    ("", ["An empty answer is an answer.", "No"]),
    ("Rain falls. Rain falls. Rain falls.", ["Rain falls on the plain.", "Rain falls. Snow falls."]),
]
ENGLISH_ANSWERS = [answer for answer, _ in ENGLISH]
ENGLISH_STREAMS = [[references[i] for _, references in ENGLISH] for i in range(2)]
SCRIPTS = {
    "Chinese": "今天天气很好，我们去公园散步。然后回家吃饭！",
    "Japanese": "東京タワーはとても高いです。カメラで写真を撮りました。",
    "Thai": "วันนี้อากาศดีมาก เราไปเดินเล่นกัน",
    "emoji": "🍣🍜❤️👍🏽🎉",
    "Arabic": "الطقس جميل اليوم ونحن نمشي في الحديقة",
    "Russian": "Сегодня хорошая погода, мы гуляем в парке.",
    "Hindi": "आज मौसम बहुत अच्छा है और हम पार्क में हैं",
    "Korean": "오늘은 날씨가 아주 좋아서 공원에 갑니다.",
    "mixed": "我们用 Python 3.11 训练 model，然后 test 它。",
}


def test_bleu_and_chrf_equal_sacrebleu_to_the_last_digit() -> None:
    model, samples = answered(*ENGLISH)
    assert bleu(model, samples).value == sacrebleu.corpus_bleu(ENGLISH_ANSWERS, ENGLISH_STREAMS).score
    assert chrf(model, samples).value == sacrebleu.corpus_chrf(ENGLISH_ANSWERS, ENGLISH_STREAMS).score


def test_chinese_bleu_equals_sacrebleu_with_its_chinese_tokenizer() -> None:
    answer, reference = "今天天气不好，我们去公园跑步。", SCRIPTS["Chinese"]
    model, samples = answered((answer, [reference]))
    expected = sacrebleu.corpus_bleu([answer], [[reference]], tokenize="zh").score
    assert bleu(model, samples).value == expected
    assert 20 < expected < 80


def test_references_may_differ_in_number_as_sacrebleu_allows() -> None:
    model, samples = answered(("a b c d e", ["a b c d f", "a b x d e"]), ("one two three four", ["one two three five"]))
    streams = [["a b c d f", "one two three five"], ["a b x d e", None]]
    answers = ["a b c d e", "one two three four"]
    assert bleu(model, samples).value == sacrebleu.corpus_bleu(answers, streams).score
    assert chrf(model, samples).value == sacrebleu.corpus_chrf(answers, streams).score


@pytest.mark.parametrize("kind", ["rouge1", "rouge2", "rougeL", "rougeLsum"])
def test_rouge_equals_rouge_score_for_latin_script_to_the_last_digit(kind: str) -> None:
    model, samples = answered(*ENGLISH)
    theirs = [RougeScorer([kind]).score_multi(references, answer)[kind].fmeasure for answer, references in ENGLISH]
    assert [score.values[0] for score in METRICS[kind](model, samples).scores.values()] == theirs


def test_the_latin_tokenizer_is_unchanged_by_symbols_and_accents() -> None:
    text = "H₂O at 25 °C costs ½ €, naïve Łódź façade: m², №5 → ① “quoted” — it’s fine™ e\u0301"
    assert ScriptTokenizer().tokenize(text) == tokenize(text, None)


def test_every_script_yields_tokens_in_order() -> None:
    assert ScriptTokenizer().tokenize("我用 Python3，Привет МИР! かな 👍") == [
        *"我用",
        "python3",
        "привет",
        "мир",
        *"かな",
        "👍",
    ]


@pytest.mark.parametrize("metric", TEXT_METRICS)
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_perfect_answer_gets_the_highest_score_in_every_script(metric: str, script: str) -> None:
    text = SCRIPTS[script]
    assert METRICS[metric](*answered((text, [text]))).value == pytest.approx(RULES[metric].best, abs=1e-9)


@pytest.mark.parametrize("metric", TEXT_METRICS)
@pytest.mark.parametrize("script", SCRIPTS)
def test_an_unrelated_answer_gets_a_bad_score_in_every_script(metric: str, script: str) -> None:
    measured = METRICS[metric](*answered(("Zyx wvu!", [SCRIPTS[script]])))
    if measured.higher_is_better:
        assert measured.value < 0.15 * RULES[metric].best
    else:
        assert measured.value > (90 if metric == "ter" else 0.5)


def test_a_short_perfect_answer_is_not_zero_bleu() -> None:
    assert bleu(*answered(("你好", ["你好"]), ("Yes", ["Yes"]))).value == pytest.approx(100)


def test_the_tokenizer_follows_the_references_not_the_answer() -> None:
    assert [bleu_tokenizer([SCRIPTS[s]]) for s in ("Chinese", "Japanese", "Thai", "Russian", "emoji")] == [
        *("zh", "char", "char", "13a", "13a")
    ]
    english = BLEU.score("今天天气很好", ["The weather is fine today"])
    assert english[0] == 1  # one 13a word, not six characters


def test_chinese_sentences_are_lines_to_rouge_lsum() -> None:
    swapped = rougeLsum(*answered(("我们回家。今天下雨。", ["今天下雨。我们回家。"])))
    assert swapped.value == 1.0
    assert METRICS["rougeL"](*answered(("我们回家。今天下雨。", ["今天下雨。我们回家。"]))).value < 1.0


@pytest.mark.parametrize(
    ("answer", "score"), [(" Paris\n", 1.0), ("Cafe\u0301", 1.0), ("paris", 0.0), ("Paris.", 0.0), ("", 0.0)]
)
def test_exact_match_forgives_space_and_composition_and_nothing_else(answer: str, score: float) -> None:
    assert exact_match(*answered((answer, ["Paris", "Café"]), ("x", ["x"]))).scores["question 0"].values == (score,)


@pytest.mark.parametrize("metric", TEXT_METRICS)
def test_the_order_of_samples_changes_nothing(metric: str) -> None:
    model, samples = answered(*ENGLISH)
    shuffled = sample_set(*random.Random(1).sample(samples.samples, len(samples)))
    forward, other = METRICS[metric](model, samples), METRICS[metric](model, shuffled)
    assert (forward.value, forward.stderr, forward.scores) == (other.value, other.stderr, other.scores)
    assert forward.stderr >= 0


def test_a_corpus_value_comes_back_from_its_stored_statistics() -> None:
    measured = bleu(*answered(*ENGLISH))
    assert measured.aggregate is not None
    assert len(measured.scores["question 0"].values) == 10
    assert BLEU.value([score.values for score in measured.scores.values()]) == measured.value


def test_signatures_name_the_choices_and_hold_for_every_subset() -> None:
    model, samples = answered(*ENGLISH, (SCRIPTS["Chinese"], [SCRIPTS["Chinese"] * 20]))
    whole, part = bleu(model, samples), bleu(model, sample_set(*samples.samples[:2]))
    assert whole.signature == part.signature
    assert whole.signature == (
        "metric:bleu|level:corpus|tok:13a,zh,char-by-reference-script|case:mixed|smooth:exp|eff:yes|refs:all"
        "|answers:greedy|limit:128-1024-by-reference|template:t0|version:1"
    )
    assert "limit:64|" in bleu(model, samples, max_new_tokens=64).signature


def test_the_limit_grows_with_the_shortest_reference_only() -> None:
    assert [answer_limit(["x" * n]) for n in (0, 256, 258, 700, 10**6)] == [128, 128, 256, 512, 1024]
    assert answer_limit(["x" * 10**6, "short"]) == 128
    assert answer_limit([]) == 128


def test_all_metrics_of_a_set_ask_for_the_same_answers() -> None:
    model, samples = answered(("a", ["a"]), ("b", ["b" * 300]))
    asking = (*TEXT_METRICS, "stop_rate", "rep_4", "distinct_1")
    for metric in asking:
        METRICS[metric](model, samples)
    assert model.limits == [128, 256] * len(asking)


def test_a_limit_below_the_reference_is_a_broken_run() -> None:
    model = FakeModel(
        answers={"long": completion("y" * 128, stopped=False), "short": "fine"}, likelihood=lambda *_: -1.0
    )
    samples = sample_set(sample("long", references=["y" * 200]), sample("short", references=["fine"]))
    assert rouge1(model, samples).problems == (
        "1 of 2 answers were cut off at 128 tokens where their references are longer (first: long); "
        "raise max_new_tokens or give shorter references",
        "answers ended by: length 1, terminator 1",
    )


def test_a_rambling_model_has_a_low_score_and_no_excuse() -> None:
    model = FakeModel(answers={"q": completion("y " * 64, stopped=False), "r": "fine"})
    samples = sample_set(sample("q", references=["a short one"]), sample("r", references=["fine"]))
    measured = exact_match(model, samples)
    assert (measured.value, measured.problems) == (0.5, ())


def test_mostly_empty_answers_are_a_broken_run() -> None:
    broken = chrf(*answered(("", ["x"]), (" \n", ["y"]), ("z", ["z"])))
    assert broken.problems == (
        "2 of 3 answers are empty (first: question 0); "
        "look at the rendered prompt: it may already end with the terminator",
        "answers ended by: terminator 3",
    )


def test_empty_answers_to_empty_references_are_right() -> None:
    measured = exact_match(*answered(("", [""]), ("", [""]), ("z", ["z"])))
    assert (measured.value, measured.problems) == (1.0, ())


@pytest.mark.parametrize("metric", TEXT_METRICS)
def test_a_sample_without_references_is_named(metric: str) -> None:
    with pytest.raises(DataError, match=f"set: sample 'bare' has no references, which {metric} needs"):
        METRICS[metric](FakeModel(), sample_set(sample("bare")))


@pytest.mark.parametrize(("metric", "value"), [("stop_rate", 1.0), ("rep_4", 0.0), ("distinct_1", 1.0)])
def test_a_metric_of_answers_alone_needs_no_references(metric: str, value: float) -> None:
    model = FakeModel(answers={"bare": completion("yes")})
    assert METRICS[metric](model, sample_set(sample("bare"))).value == value
