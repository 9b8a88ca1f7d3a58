"""How lm-eval makes one number of a task's samples, for the rules that a paired test can follow."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

import numpy as np

from harness.records import Aggregate

Numbers = Callable[[Any], tuple[float, ...]]


@dataclass(frozen=True)
class Rule:
    """What one sample's logged value is in numbers, and how the numbers of all samples become the value.

    Without ``aggregate`` the value is their mean. ``numbers`` raises ValueError or TypeError for another kind of value.
    """

    numbers: Numbers
    aggregate: Aggregate | None = None


def _one(value: Any) -> tuple[float, ...]:
    """A number, or true and false; lm-eval writes a list of one where a metric was asked for a batch of one."""
    if isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]
    if isinstance(value, str) or np.ndim(value):
        raise ValueError
    return (float(value),)


def _two(value: Any) -> tuple[float, ...]:
    """A log-likelihood and what it is spread over: words or bytes."""
    if isinstance(value, str) or np.shape(value) != (2,):
        raise ValueError
    return tuple(float(each) for each in value)


def _perplexity(rows: np.ndarray) -> float:
    return math.exp(-float(rows[:, 0].mean()))


def _weighted(rows: np.ndarray) -> float:
    totals = rows.sum(axis=0)
    return float(totals[0] / totals[1])


def _weighted_perplexity(rows: np.ndarray) -> float:
    return math.exp(-_weighted(rows))


def _bits_per_byte(rows: np.ndarray) -> float:
    return -_weighted(rows) / math.log(2)


def _of_several(value: Any) -> tuple[float, ...]:
    """How many of a sample's instructions were followed, and how many it has."""
    if isinstance(value, str) or np.ndim(value) != 1 or not len(value):
        raise ValueError
    return float(sum(map(bool, value))), float(len(value))


def _agreement(value: Any) -> tuple[float, ...]:
    """Gold and prediction of two classes, as counts: both 1, 0 taken for 1, 1 taken for 0, both 0."""
    gold, predicted = value
    if {gold, predicted} - {0, 1}:
        raise ValueError
    return tuple(float((gold, predicted) == pair) for pair in ((1, 1), (0, 1), (1, 0), (0, 0)))


def _f1(rows: np.ndarray) -> float:
    hits, false, missed, _ = rows.sum(axis=0)
    return float(2 * hits / (2 * hits + false + missed)) if hits else 0.0


def _matthews(rows: np.ndarray) -> float:
    hits, false, missed, rejected = rows.sum(axis=0)
    spread = (hits + false) * (hits + missed) * (rejected + false) * (rejected + missed)
    return float((hits * rejected - false * missed) / math.sqrt(spread)) if spread else 0.0


def _of_sacrebleu(kind: str) -> Rule:
    """A corpus metric with sacrebleu's defaults, as lm-eval takes it, from the counts of each answer."""

    def counts(value: Any) -> tuple[float, ...]:
        references, answer = value
        references = [references] if isinstance(references, str) else list(references)
        answer = answer if isinstance(answer, str) else answer[0]
        if not references or not all(isinstance(text, str) for text in (*references, answer)):
            raise ValueError
        (found,) = _sacrebleu(kind)._extract_corpus_statistics([answer], [[text] for text in references])
        return tuple(map(float, found))

    def value(rows: np.ndarray) -> float:
        return float(_sacrebleu(kind)._compute_score_from_stats([float(each) for each in rows.sum(axis=0)]).score)

    return Rule(counts, value)


@cache
def _sacrebleu(kind: str) -> Any:
    from sacrebleu.metrics import BLEU, CHRF, TER

    return {"bleu": BLEU, "chrf": CHRF, "chrf++": lambda: CHRF(word_order=2), "ter": TER}[kind]()


RULES: Mapping[str, Rule] = MappingProxyType(
    {
        "mean": Rule(_one),
        "perplexity": Rule(_one, _perplexity),
        "weighted_perplexity": Rule(_two, _weighted_perplexity),
        "bits_per_byte": Rule(_two, _bits_per_byte),
        "f1": Rule(_agreement, _f1),
        "matthews_corrcoef": Rule(_agreement, _matthews),
        "agg_inst_level_acc": Rule(_of_several, _weighted),
        **{kind: _of_sacrebleu(kind) for kind in ("bleu", "chrf", "chrf++", "ter")},
    }
)
"""lm-eval's aggregations by name, and the one function of a task (IFEval's) that a benchmark here has as well.

Others (nanmean, median, brier_score, functions of a task) have no rule here.
"""
