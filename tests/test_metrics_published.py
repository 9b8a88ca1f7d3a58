"""Published examples and random corpora: what the papers, sacrebleu and rouge-score say, to the last digit."""

from __future__ import annotations

import random
import re
import string
from collections import Counter

import pytest
import sacrebleu
from rouge_score.rouge_scorer import RougeScorer

from harness.metrics.text_scores import BLEU, CHRF, ROUGE, TER, TextRule
from harness.metrics.token_scores import LENGTH_ERROR, LENGTH_RATIO, TOKEN_F1

Rows = list[tuple[str, list[str]]]

PAPINENI = [
    "It is a guide to action that ensures that the military will forever heed Party commands.",
    "It is the guiding principle which guarantees the military forces always being under the command of the Party.",
    "It is the practical guide for the army always to heed the directions of the party.",
]
"""The references of the first example of Papineni et al. 2002, "BLEU: a method for automatic evaluation"."""


def precision(answer: str, references: list[str], n: int) -> tuple[float, float]:
    """Clipped n-grams and all n-grams, out of BLEU's statistics."""
    statistics = BLEU.score(answer, references)
    return statistics[1 + n], statistics[5 + n]


@pytest.mark.parametrize(
    ("answer", "n", "expected"),
    [
        (
            "It is a guide to action which ensures that the military always obeys the commands of the party.",
            1,
            (17, 18),
        ),
        (
            "It is a guide to action which ensures that the military always obeys the commands of the party.",
            2,
            (10, 17),
        ),
        ("It is to insure the troops forever hearing the activity guidebook that party direct.", 1, (8, 14)),
        ("It is to insure the troops forever hearing the activity guidebook that party direct.", 2, (1, 13)),
    ],
)
def test_the_modified_precisions_of_the_bleu_paper(answer: str, n: int, expected: tuple[int, int]) -> None:
    """The paper counts no punctuation."""
    bare = [text.rstrip(".") for text in (answer, *PAPINENI)]
    assert precision(bare[0], bare[1:], n) == expected


def test_the_the_the_has_a_modified_precision_of_two_sevenths() -> None:
    references = ["the cat is on the mat", "there is a cat on the mat"]
    assert precision("the the the the the the the", references, 1) == (2, 7)


README = [
    ("The dog bit the man.", ["The dog bit the man.", "The dog had bit the man."]),
    ("It wasn't surprising.", ["It was not unexpected.", "No one was surprised."]),
    ("The man had just bitten him.", ["The man bit him first.", "The man had bitten the dog."]),
]


@pytest.mark.parametrize(("rule", "score"), [(BLEU, 48.53), (CHRF, 59.73)])
def test_the_example_of_sacrebleus_readme(rule: TextRule, score: float) -> None:
    assert round(value(rule, README), 2) == score


def test_the_example_of_the_ter_paper() -> None:
    """Snover et al. 2006: one shift, two substitutions and one insertion for 13 words."""
    reference = "SAUDI ARABIA denied THIS WEEK information published in the AMERICAN new york times"
    answer = "THIS WEEK THE SAUDIS denied information published in the new york times"
    assert TER.score(answer, [reference]) == (4, 13)
    assert TER.of([answer], [[reference]]) == pytest.approx(100 * 4 / 13)


def value(rule: TextRule, rows: Rows) -> float:
    return rule.of([answer for answer, _ in rows], [references for _, references in rows])


WORDS = (
    *("the", "cat", "sat", "on", "a", "mat", "and", "looked", "at", "Paris", "in", "1,999.5", "days", "isn't", "it"),
    *("naïve", "co-operate", "U.S.", '"yes"', "(no)", "&", "—", "end."),
)


def corpus(seed: int, most_references: int) -> Rows:
    """Answers made of their references by dropping, doubling and changing words; with punctuation, case and numbers."""
    drawn = random.Random(seed)
    rows = []
    for _ in range(drawn.randint(2, 12)):
        references = [
            " ".join(drawn.choices(WORDS, k=drawn.randint(1, 14))) for _ in range(drawn.randint(1, most_references))
        ]
        said = [word for word in references[0].split() if drawn.random() > 0.2]
        said += drawn.choices(WORDS, k=drawn.randint(0, 3))
        rows.append((" ".join(said), references))
    return rows


def streams(rows: Rows) -> list[list[str | None]]:
    most = max(len(references) for _, references in rows)
    return [[dict(enumerate(references)).get(place) for _, references in rows] for place in range(most)]


@pytest.mark.parametrize("most_references", [1, 2, 4])
@pytest.mark.parametrize(
    ("rule", "theirs"),
    [(BLEU, sacrebleu.corpus_bleu), (CHRF, sacrebleu.corpus_chrf), (TER, sacrebleu.corpus_ter)],
    ids=["bleu", "chrf", "ter"],
)
def test_random_corpora_score_as_in_sacrebleu(rule: TextRule, theirs: object, most_references: int) -> None:
    for seed in range(25):
        rows = corpus(seed, most_references)
        expected = theirs([answer for answer, _ in rows], streams(rows)).score  # type: ignore[operator]
        assert value(rule, rows) == expected, seed


@pytest.mark.parametrize("rule", ROUGE, ids=lambda rule: rule.name)
def test_random_texts_score_as_in_rouge_score(rule: TextRule) -> None:
    scorer = RougeScorer([rule.name])
    rows = [row for seed in range(25) for row in corpus(seed, 3)]
    assert [rule.score(*row) for row in rows] == [
        (scorer.score_multi(references, answer)[rule.name].fmeasure,) for answer, references in rows
    ]


def test_chinese_and_japanese_score_as_sacrebleu_does_with_the_tokenizers_for_them() -> None:
    chinese = [
        ("今天天气不好，我们跑步。", ["今天天气很好，我们散步。"]),
        ("他买了Python书。", ["他买了一本Python的书。"]),
    ]
    answers, texts = [answer for answer, _ in chinese], streams(chinese)
    assert value(BLEU, chinese) == sacrebleu.corpus_bleu(answers, texts, tokenize="zh").score
    assert value(TER, chinese) == sacrebleu.corpus_ter(answers, texts, normalized=True, asian_support=True).score
    japanese = [("今日は雨です。", ["今日は晴れです。"]), ("駅はどこですか。", ["駅はどちらですか。"])]
    answers, texts = [answer for answer, _ in japanese], streams(japanese)
    assert value(BLEU, japanese) == sacrebleu.corpus_bleu(answers, texts, tokenize="char").score
    assert TER.score("今日は雨です。", ["今日は晴れです。"]) == (2, 8)


def squad_f1(answer: str, reference: str) -> float:
    """F1 of words in SQuAD's own order of steps: lower, no ASCII punctuation, no articles, split at white space."""

    def tokens(text: str) -> list[str]:
        bare = "".join(character for character in text.lower() if character not in string.punctuation)
        return re.sub(r"\b(a|an|the)\b", " ", bare).split()

    said, wanted = tokens(answer), tokens(reference)
    if not said or not wanted:
        return float(said == wanted)
    shared = sum((Counter(said) & Counter(wanted)).values())
    return (
        0.0
        if not shared
        else 2 * (shared / len(said)) * (shared / len(wanted)) / (shared / len(said) + shared / len(wanted))
    )


def test_random_texts_score_as_by_squads_steps() -> None:
    rows = [(a.replace("—", "-"), [t.replace("—", "-") for t in texts]) for s in range(25) for a, texts in corpus(s, 3)]
    assert [TOKEN_F1.score(*row)[0] for row in rows] == [
        max(squad_f1(answer, text) for text in texts) for answer, texts in rows
    ]


@pytest.mark.parametrize(
    ("answer", "references", "score"),
    [
        ("The Eiffel Tower", ["eiffel tower"], 1.0),
        ("in the city of Paris, France", ["Paris"], 2 / 6),
        ("Denver Broncos", ["Denver", "The Denver Broncos!"], 1.0),
        ("", ["Paris"], 0.0),
        ("the", ["a"], 1.0),
        ("巴黎。", ["巴黎"], 1.0),
        ("法国巴黎", ["巴黎"], 2 / 3),
        ("「東京」です", ["東京"], 2 / 3),
        ("París, ¡claro!", ["paris claro"], 0.5),
    ],
)
def test_token_f1_of_answers_as_people_give_them(answer: str, references: list[str], score: float) -> None:
    assert TOKEN_F1.score(answer, references)[0] == pytest.approx(score)


@pytest.mark.parametrize(
    ("rows", "ratio", "error"),
    [
        ([("one two three", ["one two three four five six"])], 0.5, 0.5),
        ([("a b c d", ["a b"])], 2.0, 0.5),
        ([("a b c", ["a b c d", "a b", "a b c d e f"])], 1.5, 1 / 3),
        ([("a", ["a b"]), ("a b c", ["a b"])], 1.0, 0.0),
        ([("", ["a b"])], 0.0, 1.0),
        ([("我们回家", ["我们回家吧"])], 0.8, 0.2),
    ],
    ids=["half", "double", "the nearest, the shorter of two", "a corpus", "empty", "Chinese"],
)
def test_the_length_of_a_corpus_beside_its_references(rows: Rows, ratio: float, error: float) -> None:
    assert value(LENGTH_RATIO, rows) == pytest.approx(ratio)
    assert value(LENGTH_ERROR, rows) == pytest.approx(error)
