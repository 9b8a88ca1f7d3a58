"""From rows to samples: how an item is asked, shots and description before it, as lm-eval writes it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.benchmarks.record import SUBJECT, Benchmark, Form, Question, Row
from harness.benchmarks.shots import shot_indexes
from harness.benchmarks.tables import Placed
from harness.errors import DataError, InvalidRunError
from harness.records import Messages, Sample, SampleSet
from harness.requests import digest_of

BETWEEN = "\n\n"
"""What stands between two shots."""

PLACE = re.compile(r"(:| row )\d+\Z")
"""What follows a file's name where a row is named."""

Read = Callable[[str], Mapping[str, Sequence[Placed]]]
"""From the name of a split to its rows by subject."""


@dataclass(frozen=True)
class Asked:
    """A row, and what is asked by it."""

    place: str
    row: Row
    question: Question
    form: Form


def benchmark_samples(benchmark: Benchmark, read: Read) -> SampleSet:
    """All samples of a benchmark, their ids being the places of their rows in the split, as lm-eval's ``doc_id``.

    Raises:
        DataError: a row that is none of the set's forms, or whose gold answer is not among its choices.
        InvalidRunError: an item that stands among its own shots.
    """
    evaluated = read(benchmark.split)
    pools = _pools(benchmark, read)
    samples: list[Sample] = []
    for subject, rows in evaluated.items():
        samples += _of_subject(benchmark, subject, rows, pools.get(subject, ()), alone=len(evaluated) == 1)
    return SampleSet(benchmark.name, tuple(samples), origin=_files(evaluated), settings=settings(benchmark))


def _files(evaluated: Mapping[str, Sequence[Placed]]) -> str:
    """Where the evaluated rows stand, in words; folders may hold several sets that go by one name."""
    files = list(dict.fromkeys(PLACE.sub("", place) for rows in evaluated.values() for place, _ in rows))
    return files[0] if len(files) == 1 else f"{len(files)} files, {files[0]} first"


def _pools(benchmark: Benchmark, read: Read) -> Mapping[str, Sequence[Placed]]:
    """The rows that shots are drawn from, by subject."""
    try:
        return read(benchmark.shots_split) if benchmark.shots else {}
    except DataError as error:
        raise DataError(f"{error} Or ask without shots: --benchmarks {benchmark.name}:0.") from None


def settings(benchmark: Benchmark) -> str:
    """How the samples were made, for the signature of what is measured on them."""
    return f"task-version:{benchmark.version}|shots:{benchmark.shots}"


def asked(benchmark: Benchmark, place: str, row: Row) -> Asked:
    """Ask by one row in the first form whose fields it has; raises DataError, naming the place."""
    if benchmark.only:
        row = {SUBJECT: benchmark.only, **row}  # a row of lm-eval's task for one subject may not repeat it
    form = next((form for form in benchmark.forms if all(row.get(field) is not None for field in form.fields)), None)
    if form is None:
        forms = ", or ".join(" ".join(form.fields) for form in benchmark.forms)
        raise DataError(f"{place}: has the fields {' '.join(_shown(row))}; {benchmark.name} needs {forms}.")
    if benchmark.subjects and form.with_subject and not row.get(SUBJECT):
        raise DataError(
            f"{place}: neither file nor row tells the subject, which the prompts of {benchmark.name} need; put each "
            f"subject into a file of its name, such as {next(iter(benchmark.subjects))}.jsonl."
        )
    try:
        question = form.question(row)
        _check(question)
    except DataError as error:
        raise DataError(f"{place}: {error}") from None
    return Asked(place, row, question, form)


def _of_subject(
    benchmark: Benchmark, subject: str, rows: Sequence[Placed], pool: Sequence[Placed], *, alone: bool
) -> list[Sample]:
    items = [asked(benchmark, place, row) for place, row in rows]
    _check_identities(benchmark, items)
    shots = [asked(benchmark, place, row) for place, row in pool]
    where = f"the {benchmark.shots_split} split of {benchmark.name}" + (f", {subject}," if subject else "")
    drawn = shot_indexes(
        benchmark.draw, benchmark.shots, [each.row for each in shots], [each.row for each in items], where
    )
    samples = []
    for index, (item, places) in enumerate(zip(items, drawn, strict=True)):
        sample_id = f"{index:04}" if alone else f"{subject}-{index:04}"
        written = benchmark.subjects.get(subject) if item.form.with_subject else None
        description = benchmark.description.format(subject=written) if written else ""
        before = [shots[place].question for place in places]
        _refuse_itself(f"{benchmark.name}: item {sample_id} ({item.place})", item.question, before)
        question = replace(item.question, text=benchmark.preamble + item.question.text)
        samples.append(_sample(sample_id, subject, question, before, description))
    return samples


def _sample(sample_id: str, subject: str, question: Question, shots: Sequence[Question], description: str) -> Sample:
    prompt = description + "".join(_with_answer(shot) + BETWEEN for shot in shots) + question.text
    sample = Sample(
        id=sample_id,
        prompt=prompt,
        messages=_conversation(question, shots, description),
        digest="",
        choices=question.choices,
        target=question.target,
        references=question.references,
        subject=subject,
        cluster=question.cluster,
        right=question.right,
        ending=question.ending,
        data=question.data,
    )
    return replace(sample, digest=digest_of(sample))


def _conversation(question: Question, shots: Sequence[Question], description: str) -> Messages:
    """As lm-eval has it with ``--apply_chat_template``: a turn for each shot, the description as the system's."""
    messages = [{"role": "system", "content": description}] if description else []
    for shot in shots:
        asked_text, answer = _turn(shot)
        messages += [{"role": "user", "content": asked_text}, {"role": "assistant", "content": answer}]
    return (*messages, {"role": "user", "content": question.text})


def _with_answer(question: Question) -> str:
    return " ".join(_turn(question))


def _turn(question: Question) -> tuple[str, str]:
    """What is asked and what is the right answer, as a shot shows them."""
    if question.ending:
        opening = "" if question.target is None else question.choices[question.target]
        return question.text + opening, question.ending
    if question.choices:
        return question.text, question.choices[question.right[0] if question.target is None else question.target]
    return question.text, question.references[0]


def _refuse_itself(item: str, question: Question, shots: Sequence[Question]) -> None:
    """See on the written prompt that no shot shows the item with its answer."""
    before = BETWEEN + "".join(_with_answer(shot) + BETWEEN for shot in shots)
    if shots and f"{BETWEEN}{_with_answer(question)}{BETWEEN}" in before:
        raise InvalidRunError(
            f"{item} stands with its answer among its own {len(shots)} shots; take shots from another split, or ask "
            "with another number of them."
        )


def _shown(row: Row) -> list[str]:
    """The names of a row's fields, as they are safe to print."""
    return [str(name) if str(name).isprintable() else repr(name) for name in row]


def _check(question: Question) -> None:
    """Refuse what no metric could score."""
    if question.choices:
        if len(question.choices) < 2:
            raise DataError(f"has {len(question.choices)} choice, and at least two are needed.")
        if not all(question.choices):
            raise DataError(
                f"choice {question.choices.index('')} (from 0) is empty, and an empty text has no likelihood."
            )
        gold = question.right if question.target is None else (question.target,)
        if not gold:
            raise DataError("none of the choices is right.")
        wrong = [index for index in gold if not 0 <= index < len(question.choices)]
        if wrong:
            raise DataError(f"the right choice is {wrong[0]}, outside the {len(question.choices)} that count from 0.")
    elif not question.ending and not question.references and not question.data:
        raise DataError("there is nothing to score: neither choices nor an answer.")


def _check_identities(benchmark: Benchmark, items: Sequence[Asked]) -> None:
    """A file that was put together twice says so by the ids of its rows."""
    first: dict[str, str] = {}
    for item in items:
        if item.row.get(benchmark.identity) is None:
            continue
        identity = str(item.row[benchmark.identity])
        if identity in first:
            raise DataError(
                f"{item.place}: {benchmark.identity} {identity!r} was used before, at {first[identity]}; "
                "a row may be in the file once, so fetch the file again."
            )
        first[identity] = item.place
