"""Multiple choice: the harness's acc, and the same rows through plain ``model(...)`` calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from timing import Part, in_turns, quickest, seconds, stopwatch

from harness.metrics import acc
from harness.models.local import LocalModel
from harness.records import SampleSet

BATCH_ROWS = (8, 16, 32)
"""Shapes tried for the best that plain batches reach."""

Row = tuple[list[int], int]
"""Ids of a question with one of its choices, and how many of them are the choice's."""


def likelihood(model: LocalModel, questions: SampleSet, repeats: int) -> Part:
    """Time the questions from their texts to who is right, every way on the same rows."""
    plain = {rows: f"plain, {rows} rows" for rows in BATCH_ROWS}
    ways = {
        "harness": stopwatch(partial(_ours, model, questions)),
        "plain, row by row": stopwatch(partial(_plain, model, questions, 1)),
        **{name: stopwatch(partial(_plain, model, questions, rows)) for rows, name in plain.items()},
    }
    runs = in_turns(ways, repeats)
    times = seconds(runs)
    best = quickest({name: times[name] for name in plain.values()})
    shown = {name: times[name] for name in ("harness", "plain, row by row")} | {f"{best} (best)": times[best]}
    rows = _rows(model, questions)
    return Part(
        "likelihood",
        shown,
        f"{len(questions)} questions, {len(rows)} rows; "
        + _agreement({name: timed[-1].answer for name, timed in runs.items()}, len(questions)),
        tokens=sum(len(ids) - 1 for ids, _ in rows),
    )


def _agreement(right: dict[str, list[bool]], n: int) -> str:
    """Say whether every way, the shapes that are not shown included, finds the same answers right."""
    ours = right["harness"]
    shares = f"acc {sum(ours) / n:.3f}"
    differing = {name: sum(a != b for a, b in zip(ours, theirs, strict=True)) for name, theirs in right.items()}
    if not any(differing.values()):
        return f"{shares} by all {len(right)} ways, question by question"
    return f"NOT THE SAME WORK: {shares} by the harness, other scores " + ", ".join(
        f"on {count} of {n} ({name})" for name, count in differing.items() if count
    )


def _ours(model: LocalModel, questions: SampleSet) -> list[bool]:
    # A model keeps what it has answered; a copy that has answered nothing works anew.
    measurement = acc(replace(model), questions)
    return [bool(measurement.scores[question.id].values[0]) for question in questions]


def _plain(model: LocalModel, questions: SampleSet, batch_rows: int) -> list[bool]:
    totals = iter(_totals(model, _rows(model, questions), batch_rows))
    found = [[next(totals) for _ in question.choices] for question in questions]
    return [values.index(max(values)) == question.target for values, question in zip(found, questions, strict=True)]


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
