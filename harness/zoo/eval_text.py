"""Faults of a user's own text metric: what it is handed, how it splits and sums, and which package it comes from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise, zip_longest

import numpy as np

from harness.metrics.quality import scored
from harness.metrics.soundness import Score, metric_findings
from harness.metrics.text_scores import BLEU, ROUGE, TextRule
from harness.records import Finding, Sample, SampleSet
from harness.zoo.engines import tuned_demo
from harness.zoo.exhibit import Fault, Setup
from harness.zoo.traps_verdicts import VERDICT, alarms

SOUND = "quality/text_metrics_are_sound"

QUESTIONS = {
    "What is the capital of France?": "The capital city of France is Paris.",
    "How many days are there in a week?": "A week has seven days.",
    "法国的首都是哪里？": "法国首都是巴黎。",
}

SAMPLES = SampleSet(
    "questions",
    tuple(
        Sample(question, question, ({"role": "user", "content": question},), question, references=(wanted,))
        for question, wanted in QUESTIONS.items()
    ),
)


def corpus_bleu(answers: Sequence[str], streams: Sequence[Sequence[str | None]]) -> float:
    """sacrebleu's own, which takes one reference of every sample after the other."""
    from sacrebleu import metrics

    return float(metrics.BLEU(effective_order=True).corpus_score(list(answers), [list(each) for each in streams]).score)


def streams_of_lists(answers: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Turns the lists of the samples into sacrebleu's streams."""
    return corpus_bleu(answers, list(zip_longest(*references)))


def rouge_of_sets(answers: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Pairs of words as a set, as a package that is called rouge has them: one that occurs twice counts once."""

    def pairs(text: str) -> set[tuple[str, str]]:
        words = text.split() if " " in text else list(text)
        return set(pairwise(words))

    def f1(said: set[tuple[str, str]], wanted: set[tuple[str, str]]) -> float:
        return 2 * len(said & wanted) / (len(said) + len(wanted)) if said or wanted else 0.0

    rows = zip(answers, references, strict=True)
    best = [max(f1(pairs(answer), pairs(text)) for text in texts) for answer, texts in rows]
    return sum(best) / len(best)


def rouge_score(kind: str, answers: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """rouge-score as it comes."""
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer([kind])
    rows = zip(answers, references, strict=True)
    return float(np.mean([scorer.score_multi(list(texts), answer)[kind].fmeasure for answer, texts in rows]))


def _with_13a(answer: str, references: Sequence[str]) -> tuple[float, ...]:
    from sacrebleu import metrics

    streams = [[reference] for reference in references]
    (counts,) = metrics.BLEU(effective_order=True)._extract_corpus_statistics([answer], streams)
    return tuple(map(float, counts))


def _sentence_bleu(answer: str, references: Sequence[str]) -> tuple[float, ...]:
    return (BLEU.of([answer], [references]),)


ALWAYS_13A = replace(BLEU, settings=BLEU.settings.replace("13a,zh,char-by-reference-script", "13a"), score=_with_13a)
MEAN_OF_SENTENCES = replace(
    BLEU, settings=BLEU.settings.replace("level:corpus", "level:mean"), score=_sentence_bleu, aggregate=None
)


def _asked(score: Score, *, best: float, like: str = "") -> Setup:
    """A metric that its user asks whether it is sound."""
    return Setup(more={SOUND: lambda: metric_findings(score, best=best, like=like)})


def _measured(now: TextRule, before: TextRule) -> Setup:
    """The same answers, measured by one rule in the baseline and by another one in this run."""

    def verdict() -> list[Finding]:
        model = tuned_demo()
        return alarms(scored(now, model, SAMPLES), scored(before, model, SAMPLES), margin=2.0)

    return Setup(more={VERDICT: verdict})


FAULTS = (
    Fault(
        id="eval-01",
        name="The references of each sample are handed on as if they were one of every sample",
        source="mjpost/sacrebleu#275",
        inject=partial(_asked, corpus_bleu, best=100.0),
        caught_by=(SOUND,),
        twin=partial(_asked, streams_of_lists, best=100.0),
    ),
    Fault(
        id="eval-03",
        name="BLEU of Chinese answers is counted by a tokenizer that does not split them",
        source="mjpost/sacrebleu#165",
        inject=partial(_measured, ALWAYS_13A, BLEU),
        caught_by=(VERDICT,),
        twin=partial(_measured, BLEU, BLEU),
    ),
    Fault(
        id="eval-04",
        name="The mean of BLEU scores of sentences stands beside the BLEU of a corpus",
        source="Post 2018, A call for clarity in reporting BLEU scores",
        inject=partial(_measured, MEAN_OF_SENTENCES, BLEU),
        caught_by=(VERDICT,),
        twin=partial(_measured, MEAN_OF_SENTENCES, MEAN_OF_SENTENCES),
    ),
    Fault(
        id="eval-06",
        name="ROUGE drops every letter that is not Latin",
        source="huggingface/evaluate#256",
        inject=partial(_asked, partial(rouge_score, "rouge1"), best=1.0),
        caught_by=(SOUND,),
        twin=partial(_asked, ROUGE[0].of, best=1.0, like="rouge1"),
    ),
    Fault(
        id="eval-07",
        name="ROUGE is computed by another package, which counts sets of words",
        source="Grusky 2023, Rogue scores (8 to 16 % of a year's papers)",
        inject=partial(_asked, rouge_of_sets, best=1.0, like="rouge2"),
        caught_by=(SOUND,),
        twin=partial(_asked, ROUGE[1].of, best=1.0, like="rouge2"),
    ),
)
