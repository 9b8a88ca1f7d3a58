"""Evaluation samples that the training rows hold: what was learned by heart is no measure of what was learned."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.dataset.asked import Asked, asked, find, sizes
from harness.dataset.overlap import Questions
from harness.dataset.row_text import RowText
from harness.dataset.rows_and_samples import RowsAndSamples, as_sample
from harness.dataset.words import weight, words
from harness.findings import Note
from harness.records import Finding, SampleSet

WHOLE, NEARLY = 1.0, 0.9
"""Shares of a question's own runs: a row that holds all of them holds the question, whatever it answers. With nearly
all, it must give the right answer too: questions that a template writes differ in a number or two."""

LONG_ANSWER = 8
"""Words of an answer that nobody gives by chance; with it, half of the question is enough."""

EVIDENCE = 13
"""What is a sample's own in its question, and the answer that a row gives to it, are fewer than 13 words: both may
stand there by chance, as what is the capital of France? Such samples are noted ..."""

CHANCE_SHARE = 0.03
"""... and are no matter of chance any more when they are 3 % of their set: as much as a drop that the gate reports."""

SHOWN = 4


@dataclass(frozen=True)
class Leak:
    """A sample, a training row that holds it, and whether the two may be alike by chance."""

    item: Asked
    row: RowText
    share: float
    answered: bool
    by_chance: bool


def no_evaluation_sample_is_trained_on(data: RowsAndSamples, note: Note) -> list[Finding]:
    """No training row holds the question of a sample, whatever its case, spaces, punctuation and order of choices.

    Samples without a right answer cannot be leaked. Text that many rows or many samples share is left out.
    """
    items = asked(_other_sets(data, note))
    if not items or not data.texts:
        return []
    by_set: dict[str, list[Leak]] = defaultdict(list)
    for leak in _leaks(items, data.texts):
        by_set[leak.item.of].append(leak)
    counts = sizes(items)
    findings = []
    for name, leaks in by_set.items():
        met_by_chance = [leak for leak in leaks if leak.by_chance]
        if len(met_by_chance) >= CHANCE_SHARE * counts[name]:
            met_by_chance = []
        certain = [leak for leak in leaks if leak not in met_by_chance]
        if certain:
            findings.append(_finding(name, certain, counts[name]))
        if met_by_chance:
            note(
                f"{len(met_by_chance)} of {counts[name]} samples of {name} are short questions that training rows "
                f"answer as well, perhaps by chance ({_listed(met_by_chance)})"
            )
    return findings


def _other_sets(data: RowsAndSamples, note: Note) -> Iterator[SampleSet]:
    """The sample sets that are not the training rows themselves: whoever evaluates on all of these means to."""
    rows = {as_sample(row).digest for row in data.texts}
    for samples in data.samples:
        if rows and {sample.digest for sample in samples} == rows:
            note(f"{samples.name} holds the training rows themselves: its loss tells what is learned by heart")
        else:
            yield samples


def _leaks(items: Sequence[Asked], rows: Sequence[RowText]) -> Iterator[Leak]:
    for number, held in sorted(Questions(items).held_by(rows).items()):
        ranked = sorted(held.shares.items(), key=lambda found: (-found[1], found[0]))
        judged = (_leak(items[number], held.own, rows[row], share) for row, share in ranked)
        found = [leak for leak in judged if leak is not None]
        if found:
            yield min(found, key=lambda leak: (leak.by_chance, not leak.answered))


def _leak(item: Asked, own: tuple[str, ...], row: RowText, share: float) -> Leak | None:
    answers = [words(answer) for answer in row.answers]
    given = max((weight(gold) for gold in item.golds if any(find(answer, gold) >= 0 for answer in answers)), default=0)
    offered = sum(map(weight, item.choices)) if _holds_all(row, item.choices) else 0
    if item.is_short:
        is_held = given > 0 or offered > 0
    else:
        is_held = share >= WHOLE or (given > 0 and share >= NEARLY) or given >= LONG_ANSWER
    evidence = weight(own) + max(given, offered)
    return Leak(item, row, share, given > 0, evidence < EVIDENCE) if is_held else None


def _holds_all(row: RowText, choices: Sequence[tuple[str, ...]]) -> bool:
    said = [words(text) for _, text in row.turns]
    return bool(choices) and all(any(find(text, choice) >= 0 for text in said) for choice in choices)


def _finding(name: str, leaks: Sequence[Leak], samples: int) -> Finding:
    first = max(leaks, key=lambda leak: (not leak.by_chance, leak.share, leak.answered))
    answer = "its right answer" if first.answered else "another answer"
    held = f"{first.row.place} holds {first.share:.0%} of its question and {answer}"
    return Finding(
        "what the evaluation asks is in the training rows, so its score tells what was learned by heart",
        f"{name}: {_listed(leaks)}",
        f"none of the {samples} samples of {name} that have a right answer among the training rows",
        f"{len(leaks)} of them; {first.item.sample.id}: {held}",
        "take these rows out of the training data, or these samples out of the evaluation; split by document before "
        "rows are made, not after",
    )


def _listed(leaks: Sequence[Leak]) -> str:
    shown = ", ".join(f"{leak.item.sample.id} in row {leak.row.number}" for leak in leaks[:SHOWN])
    return shown + (f" and {len(leaks) - SHOWN} more" if len(leaks) > SHOWN else "")
