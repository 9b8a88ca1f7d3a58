"""Frozen scores of a few answers, by which a metric of the same name and another arithmetic is told.

The numbers were computed once with the packages that are named, called directly; a test computes them again. What the
pairs are sensitive to: stemming and clipped counts, several references, punctuation and numbers, order and lines,
case, and the splitting of Chinese.
"""

from __future__ import annotations

from dataclasses import dataclass

Pairs = tuple[tuple[str, tuple[str, ...]], ...]

PAIRS: Pairs = (
    ("The cats were running and the cats were jumping.", ("The cat was running, and then the cat jumped.",)),
    ("the the the the the the the", ("The cat is on the mat.", "There is a cat on the mat.")),
    ("It costs 3,500.25 dollars - a fair price, isn't it?", ("It costs 3,500.25 dollars; that is a fair price.",)),
    (
        "Rain fell all night.\nIn the morning the river stood high.",
        ("In the morning the river was high.\nRain had fallen all night.",),
    ),
    ("HELLO World, hello again", ("Hello world, and hello again!", "hello again, WORLD")),
    ("今天天气不好，我们去公园跑步。", ("今天天气很好，我们去公园散步。",)),
)
"""Answers with their references. The second is an example of Papineni et al. 2002."""

TOGETHER: Pairs = PAIRS[:5]
"""Those in Latin script: one corpus, which one tokenizer can read."""


@dataclass(frozen=True)
class Golden:
    """Scores of the first of ``PAIRS``, each alone, and of ``TOGETHER``; where the numbers are from.

    ROUGE and SQuAD's F1 say nothing of Chinese as they were published, so they have five.
    """

    pairs: tuple[float, ...]
    together: float
    origin: str


_SACREBLEU = "sacrebleu 2.6.0"
_ROUGE_SCORE = "rouge-score 0.1.2, F-measure without stemming"

GOLDEN: dict[str, Golden] = {
    "bleu": Golden(
        (5.6775429107, 6.5672747361, 30.6614871029, 40.304968802, 23.6435402251, 61.0473583581),
        23.6977378075,
        f"{_SACREBLEU}, tokenizers 13a and zh, effective order",
    ),
    "chrf": Golden(
        (46.3939348153, 10.5854802878, 73.4739859634, 61.9932943653, 54.9721610301, 50.1467976468),
        55.2928439596,
        _SACREBLEU,
    ),
    "ter": Golden(
        (77.7777777778, 76.9230769231, 66.6666666667, 50.0, 50.0, 13.3333333333),
        64.1975308642,
        f"{_SACREBLEU}, for Chinese with its Asian support",
    ),
    "rouge1": Golden((4 / 9, 4 / 13, 18 / 23, 18 / 23, 8 / 9), 0.6412486065, _ROUGE_SCORE),
    "rouge2": Golden((1 / 8, 0.0, 2 / 3, 10 / 21, 4 / 7), 0.3678571429, _ROUGE_SCORE),
    "rougeL": Golden((4 / 9, 4 / 13, 18 / 23, 12 / 23, 8 / 9), 0.5890746934, _ROUGE_SCORE),
    "rougeLsum": Golden((4 / 9, 4 / 13, 18 / 23, 18 / 23, 8 / 9), 0.6412486065, _ROUGE_SCORE),
    "token_f1": Golden((2 / 7, 0.0, 3 / 4, 14 / 19, 8 / 9), 0.5322890560, "SQuAD's evaluation script"),
}
