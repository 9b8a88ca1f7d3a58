"""Multiple choice: the harness's acc and acc_norm beside lm-eval, plain ``model(...)`` calls, and the ceiling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import lm_eval_side
import torch
from ceiling import bare_forwards, best_ceiling, unique_tokens
from timing import Part, Ways, in_turns, peaks, quickest_of, seconds, weighed

from harness.metrics import acc, acc_norm
from harness.models.local import LocalModel
from harness.records import SampleSet
from harness.requests import scored_pairs

PLAIN_ROWS = (1, 8, 16, 32)
"""Shapes tried for the best that plain batches reach."""
TRIED_QUESTIONS = 8
"""What a shape is tried on; with four choices, a full batch of the largest shape."""

Row = tuple[list[int], int]
"""Ids of a question with one of its choices, and how many of them are the choice's."""


@dataclass(frozen=True)
class Answers:
    """The log-likelihood of every question's every choice, one question behind the other, and the scores of each."""

    totals: list[float]
    hits: list[tuple[float, ...]]


def likelihood(model: LocalModel, questions: SampleSet, repeats: int) -> Part:
    """Time the questions from their texts to their scores, every way on the same module; the ceiling beside them."""
    rows = _rows(model, questions)
    unique = unique_tokens(ids[:-1] for ids, _ in rows)
    answering = {
        "harness": weighed(partial(_ours, model, questions)),
        **_lm_eval_ways(model, questions),
        **_plain_ways(model, questions),
    }
    runs = in_turns({**answering, **bare_forwards(model.module, unique)}, repeats)
    return Part(
        f"likelihood, {questions.name}",
        best_ceiling(seconds(runs)),
        f"{len(questions)} questions, {len(rows)} rows of {sum(len(ids) - 1 for ids, _ in rows):,} tokens, of which "
        f"{unique:,} are unique; {_agreement({name: runs[name][-1].answer for name in answering})}",
        tokens=unique,
        peaks=peaks(runs),
    )


def _agreement(answers: dict[str, Answers]) -> str:
    """Say whether all ways score every question alike, and how far lm-eval's log-likelihoods are from ours."""
    ours = answers["harness"]
    n = len(ours.hits)
    shares = ", ".join(
        f"{metric} {sum(hits[place] for hits in ours.hits) / n:.3f}"
        for place, metric in enumerate(lm_eval_side.CHOICE_METRICS)
    )
    lm_eval = (theirs for name, theirs in answers.items() if name.startswith("lm-eval"))
    gap = max(abs(a - b) for theirs in lm_eval for a, b in zip(ours.totals, theirs.totals, strict=True))
    other = {name: sum(a != b for a, b in zip(ours.hits, theirs.hits, strict=True)) for name, theirs in answers.items()}
    differing = ", ".join(f"on {count} of {n} ({name})" for name, count in other.items() if count)
    alike = (
        f"NOT THE SAME: {shares} by the harness, other scores {differing}"
        if differing
        else (f"{shares} by all {len(answers)} ways, question by question")
    )
    return f"{alike}; log-likelihoods at most {gap:.1e} from lm-eval's"


def _ours(model: LocalModel, questions: SampleSet) -> Answers:
    # A model keeps what it has answered; a copy that has answered nothing works anew.
    fresh = replace(model)
    measured = [measure(fresh, questions).scores for measure in (acc, acc_norm)]
    replies = fresh.loglikelihood([pair for question in questions for pair in scored_pairs(question)])
    hits = [tuple(scores[question.id].values[0] for scores in measured) for question in questions]
    return Answers([reply.total for reply in replies], hits)


def _lm_eval_ways(model: LocalModel, questions: SampleSet) -> Ways:
    """Its usual batch size and the best of those that are tried, which may be one."""
    task = lm_eval_side.choice_task(questions)
    some = task.instances[: TRIED_QUESTIONS * len(questions.samples[0].choices)]
    engines = {rows: lm_eval_side.engine(model, rows) for rows in lm_eval_side.ROWS}
    tried = {rows: partial(lm_eval_side.loglikelihoods, engine, some) for rows, engine in engines.items()}
    sizes = sorted({lm_eval_side.USUAL_ROWS, quickest_of(tried)})
    return {f"lm-eval, batch size {rows}": weighed(partial(_theirs, task, engines[rows])) for rows in sizes}


def _theirs(task: Any, engine: Any) -> Answers:
    replies = lm_eval_side.loglikelihoods(engine, task.instances)
    return Answers([total for total, _ in replies], lm_eval_side.choice_hits(task, replies))


def _plain_ways(model: LocalModel, questions: SampleSet) -> Ways:
    """The best of the shapes that are tried."""
    some = replace(questions, samples=questions.samples[:TRIED_QUESTIONS])
    rows = quickest_of({rows: partial(_plain, model, some, rows) for rows in PLAIN_ROWS})
    return {f"plain calls, {rows} rows": weighed(partial(_plain, model, questions, rows))}


def _plain(model: LocalModel, questions: SampleSet, batch_rows: int) -> Answers:
    totals = _totals(model, _rows(model, questions), batch_rows)
    left = iter(totals)
    found = [[next(left) for _ in question.choices] for question in questions]
    hits = []
    for question, values in zip(questions, found, strict=True):
        weighed = [value / len(choice) for value, choice in zip(values, question.choices, strict=True)]
        hits.append(tuple(float(each.index(max(each)) == question.target) for each in (values, weighed)))
    return Answers(totals, hits)


def _rows(model: LocalModel, questions: SampleSet) -> list[Row]:
    encode = model.tokenizer
    rows = []
    for question in questions:
        context = len(encode(question.prompt)["input_ids"])
        for choice in question.choices:
            ids = encode(f"{question.prompt} {choice}")["input_ids"]
            rows.append((ids, len(ids) - context))
    return rows


@torch.inference_mode()
def _totals(model: LocalModel, rows: Sequence[Row], batch_rows: int) -> list[float]:
    """Log-likelihood of every row's choice, ``batch_rows`` rows of like length in a call, padded on the right."""
    order = sorted(range(len(rows)), key=lambda index: -len(rows[index][0]))
    totals = [0.0] * len(rows)
    for start in range(0, len(order), batch_rows):
        chosen = order[start : start + batch_rows]
        width = len(rows[chosen[0]][0])
        ids = torch.full((len(chosen), width), model.pad_id)
        mask = torch.zeros_like(ids)
        for place, index in enumerate(chosen):
            row = rows[index][0]
            ids[place, : len(row)] = torch.tensor(row)
            mask[place, : len(row)] = 1
        ids, mask = ids.to(model.module.device), mask.to(model.module.device)
        logits = model.module(input_ids=ids, attention_mask=mask).logits[:, :-1].float()
        losses = logits.log_softmax(-1).gather(-1, ids[:, 1:, None]).squeeze(-1)
        for place, index in enumerate(chosen):
            row, scored = rows[index]
            totals[index] = float(losses[place, len(row) - 1 - scored : len(row) - 1].sum())
    return totals
