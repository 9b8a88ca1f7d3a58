"""What a metric of one's own is asked, the frozen scores it is held to, and metrics that must be found out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU as SACREBLEU
from sacrebleu.metrics import CHRF as SACRECHRF
from sacrebleu.metrics import TER as SACRETER

from harness.metrics.golden import GOLDEN, PAIRS, TOGETHER
from harness.metrics.modules import Bleu
from harness.metrics.soundness import CORPUS, SCRIPTS, metric_findings, text_metrics_are_sound
from harness.metrics.text_scores import BLEU, ROUGE, TextRule

Rows = Sequence[tuple[str, Sequence[str]]]


def from_sacrebleu(latin: object, chinese: object) -> Callable[[Rows], float]:
    def score(rows: Rows) -> float:
        streams = [[(*texts, None, None)[place] for _, texts in rows] for place in range(max(len(t) for _, t in rows))]
        metric = chinese if rows[0] == PAIRS[5] else latin
        return metric.corpus_score([answer for answer, _ in rows], streams).score  # type: ignore[attr-defined]

    return score


def from_rouge_score(kind: str) -> Callable[[Rows], float]:
    scorer = RougeScorer([kind])
    return lambda rows: fmean(scorer.score_multi(list(texts), answer)[kind].fmeasure for answer, texts in rows)


ORIGINS = {
    "bleu": from_sacrebleu(SACREBLEU(effective_order=True), SACREBLEU(effective_order=True, tokenize="zh")),
    "chrf": from_sacrebleu(SACRECHRF(), SACRECHRF()),
    "ter": from_sacrebleu(SACRETER(), SACRETER(normalized=True, asian_support=True)),
} | {kind: from_rouge_score(kind) for kind in ("rouge1", "rouge2", "rougeL", "rougeLsum")}


@pytest.mark.parametrize("name", sorted(ORIGINS))
def test_the_frozen_scores_are_those_of_the_packages_that_they_name(name: str) -> None:
    golden, score = GOLDEN[name], ORIGINS[name]
    assert [score([pair]) for pair in PAIRS[: len(golden.pairs)]] == pytest.approx(golden.pairs, rel=1e-9)
    assert score(TOGETHER) == pytest.approx(golden.together, rel=1e-9)


def test_the_packages_own_metrics_are_sound() -> None:
    assert text_metrics_are_sound() == []


def test_an_evaluate_module_can_be_asked(tmp_path: Path) -> None:
    module = Bleu(cache_dir=str(tmp_path))
    asked = metric_findings(
        lambda answers, references: module.compute(predictions=answers, references=references)["bleu"],
        best=100,
        like="bleu",
    )
    assert asked == []


def always_right(answers: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    return 100.0


def of_the_first(answers: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    return BLEU.of(answers[:1], references[:1])


def to_the_first_reference(answers: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    return BLEU.of(answers, [texts[:1] for texts in references])


def shifted(answers: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    return BLEU.of(answers, [*references[1:], references[0]])


@pytest.mark.parametrize(
    ("score", "where"),
    [
        (always_right, "the answer 'Zyx!'"),
        (of_the_first, "samples in another order"),
        (shifted, "samples in another order"),
        (to_the_first_reference, "the references of each sample in another order"),
    ],
)
def test_a_metric_that_looks_at_the_wrong_things_is_found(score: Callable[..., float], where: str) -> None:
    (finding,) = metric_findings(score, best=100)
    assert finding.where.startswith(where)


def test_a_rule_that_hides_what_it_does_is_told_by_the_frozen_scores() -> None:
    lowered = replace(BLEU, score=lambda answer, texts: BLEU.score(answer.lower(), [text.lower() for text in texts]))
    assert lowered.settings == BLEU.settings
    assert metric_findings(lowered.of, best=100) == []
    assert {finding.what for finding in metric_findings(lowered.of, best=100, like="bleu")} == {
        "a metric called bleu gives other scores than bleu does"
    }


@pytest.mark.parametrize("kind", ["rouge1", "rougeL"])
def test_stemming_is_another_metric(kind: str) -> None:
    scorer = RougeScorer([kind], use_stemmer=True)
    stemmed = TextRule(kind, "", lambda answer, texts: (scorer.score_multi(list(texts), answer)[kind].fmeasure,))
    (first, *_) = [f for f in metric_findings(stemmed.of, best=1.0, like=kind) if "gives other scores" in f.what]
    assert "cats were running" in first.where


def test_a_script_that_a_tokenizer_drops_is_named() -> None:
    scorer = RougeScorer(["rouge1"])
    plain = TextRule("rouge1", "", lambda answer, texts: (scorer.score_multi(list(texts), answer)["rouge1"].fmeasure,))
    found = [finding.where.split(" text: ")[0] for finding in metric_findings(plain.of, best=1.0, like="rouge1")]
    assert found == [name for name in SCRIPTS if name != "English"]


def test_the_texts_can_tell_metrics_apart() -> None:
    values = [rule.of([a for a, _ in CORPUS], [t for _, t in CORPUS]) for rule in (BLEU, *ROUGE)]
    assert len(set(values)) >= 4
    assert all(0.05 * rule.best < value < 0.95 * rule.best for rule, value in zip((BLEU, *ROUGE), values, strict=True))
