"""Is a metric itself sound? What must hold for any score of answers against references, tried on a few texts.

    def test_my_metric_is_sound(no_findings):
        no_findings(metric_findings(my_bleu, best=100, like="bleu"))

A metric here is a function of answers and of one list of references for each of them, as ``TextRule.of`` is, or
``lambda answers, references: Bleu().compute(predictions=answers, references=references)["bleu"]``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from harness.metrics.golden import GOLDEN, PAIRS, TOGETHER, Pairs
from harness.metrics.text_scores import BLEU, CHRF, EXACT_MATCH, ROUGE, TER
from harness.metrics.token_scores import LENGTH_ERROR, TOKEN_F1
from harness.records import Finding

Score = Callable[[Sequence[str], Sequence[Sequence[str]]], float]

SCRIPTS = {
    "English": "The ferry left the harbour at noon, and we waved until it was small.",
    "Chinese": "渡船中午离开了港口，我们一直挥手到看不见为止。",
    "Japanese": "フェリーは正午に港を出て、私たちは見えなくなるまで手を振った。",
    "Korean": "배는 정오에 항구를 떠났고 우리는 안 보일 때까지 손을 흔들었다.",
    "Thai": "เรือออกจากท่าตอนเที่ยง และเราโบกมือจนมองไม่เห็น",
    "Arabic": "غادرت العبارة الميناء ظهرا ولوحنا لها حتى اختفت",
    "Hebrew": "המעבורת יצאה מהנמל בצהריים ואנחנו נופפנו עד שנעלמה",
    "Nepali": "डुङ्गा दिउँसो बन्दरगाहबाट गयो र हामीले नदेखिने बेलासम्म हात हल्लायौं",
    "Russian": "Паром ушёл из гавани в полдень, и мы махали, пока он не скрылся.",
    "emoji": "⛴️ 🌊 👋 😢 ⏰ 🏠",
}
"""One sentence of at least four words in each script."""

UNRELATED = "Zyx!"

CORPUS = (
    ("The ferry left at noon.", ("The ferry left the harbour at noon.", "At noon the ferry departed.")),
    ("We waved for a long time.", ("We waved until it was small.", "For a long while we waved at it.")),
    ("Then the rain came down on the pier.", ("Then it rained on the pier.", "Rain came down on the quay then.")),
    ("Nobody had brought an umbrella.", ("No one had an umbrella with them.", "Nobody had brought an umbrella.")),
)
"""Answers with two references each, of which the last is right and no other is."""

SAME = 1e-9
"""Relative: sums of a few numbers in another order differ by less."""

_ONE_LIST_EACH = "score each answer against its own references: references[i] belong to answers[i]"


def metric_findings(score: Score, *, best: float, like: str = "") -> list[Finding]:
    """What is wrong with a metric whose perfect score is ``best``; empty where nothing is.

    With ``like`` it must also give the frozen scores of the metric of that name (see ``GOLDEN``).
    """
    return [
        *_perfect_answers(score, best),
        *_an_unrelated_answer(score, best),
        *_orders(score),
        *(_frozen_scores(score, like) if like else ()),
    ]


def text_metrics_are_sound() -> list[Finding]:
    """What is wrong with this package's own metrics on this machine, with the libraries that are installed here."""
    rules = (BLEU, CHRF, TER, *ROUGE, TOKEN_F1, EXACT_MATCH, LENGTH_ERROR)
    return [
        finding
        for rule in rules
        for finding in metric_findings(rule.of, best=rule.best, like=rule.name if rule.name in GOLDEN else "")
    ]


def _perfect_answers(score: Score, best: float) -> Iterator[Finding]:
    for name, text in SCRIPTS.items():
        found = score([text], [[text]])
        if not _equal(found, best):
            yield Finding(
                "a metric does not give its best score to an answer that is its reference",
                f"{name} text: {text}",
                f"{best:g}",
                f"{found:g}",
                "take a tokenizer that keeps the letters of this script, and count characters where it has no spaces",
            )


def _an_unrelated_answer(score: Score, best: float) -> Iterator[Finding]:
    text = SCRIPTS["English"]
    if _equal(score([UNRELATED], [[text]]), best):
        yield Finding(
            "a metric gives its best score to an answer that has nothing to do with its reference",
            f"the answer {UNRELATED!r} to the reference {text!r}",
            f"another score than {best:g}",
            f"{best:g}",
            "see that answers and references reach the metric, and in their places",
        )


def _orders(score: Score) -> Iterator[Finding]:
    answers, references = [answer for answer, _ in CORPUS], [list(texts) for _, texts in CORPUS]
    value = score(answers, references)
    orders = {
        "samples in another order": (answers[::-1], references[::-1]),
        "the references of each sample in another order": (answers, [texts[::-1] for texts in references]),
    }
    for name, other in orders.items():
        found = score(*other)
        if not _equal(found, value):
            yield Finding(
                "a score depends on an order that means nothing",
                name,
                f"{value:.6g}, as in the first order",
                f"{found:.6g}",
                _ONE_LIST_EACH,
            )


def _frozen_scores(score: Score, like: str) -> Iterator[Finding]:
    frozen = GOLDEN[like]
    alone = ((f"the answer {pair[0]!r}", (pair,)) for pair in PAIRS[: len(frozen.pairs)])
    places: list[tuple[str, Pairs]] = [*alone, ("the answers in Latin script together", TOGETHER)]
    for (where, rows), wanted in zip(places, (*frozen.pairs, frozen.together), strict=True):
        found = score([answer for answer, _ in rows], [list(texts) for _, texts in rows])
        if not math.isclose(found, wanted, rel_tol=1e-6, abs_tol=1e-9):
            yield Finding(
                f"a metric called {like} gives other scores than {like} does",
                where,
                f"{wanted:.8g}, by {frozen.origin}",
                f"{found:.8g}",
                "use that package with those settings, or give the metric another name",
            )


def _equal(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=SAME, abs_tol=SAME)
